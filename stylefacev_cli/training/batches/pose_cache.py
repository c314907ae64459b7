"""Poses of the data's clips, extracted once and kept: what the motion sampler learns from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.common.distributed import process_index, wait_for_all
from stylefacev_cli.errors import DataError, IntegrityError
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_features import pose_of
from stylefacev_cli.training.engine.checkpoint import read_checkpoint, write_checkpoint

EXTRACTION_BATCH = 32


@dataclass(frozen=True)
class PoseTracks:
    """Poses of clips: [N, 64] rows, and (first row, number) of each clip [K, 2]."""

    poses: Tensor
    spans: np.ndarray


def extract_poses(
    frames: Frames, detector: LandmarkDetector, pose_extractor: PoseExtractor, min_frames: int
) -> PoseTracks:
    """Poses of all clips of the people that are trained on.

    Raises:
        DataError: no clip is long enough.
    """
    spans = frames.clips(held_out=False, min_frames=min_frames)
    if not len(spans):
        raise DataError(f"no clip has {min_frames} frames: render longer clips")
    poses = []
    with torch.no_grad():
        for first, length in spans:
            for start in range(first, first + length, EXTRACTION_BATCH):
                rows = np.arange(start, min(start + EXTRACTION_BATCH, first + length))
                batch = pose_of(detector, pose_extractor, frames.image_batch(rows))
                poses.append(batch.flatten(1).cpu())
    lengths = spans[:, 1]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return PoseTracks(torch.cat(poses), np.stack([starts, lengths], axis=1))


def cached_poses(
    path: Path,
    frames: Frames,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    min_frames: int,
) -> PoseTracks:
    """`extract_poses`, kept in a file until networks or data change.

    Of several processes the first extracts; the others wait, and read the file.
    """
    if process_index() > 0:
        wait_for_all()
        return _kept_poses(path, frames, detector, pose_extractor, min_frames)
    tracks = _kept_poses(path, frames, detector, pose_extractor, min_frames)
    wait_for_all()
    return tracks


def _kept_poses(
    path: Path,
    frames: Frames,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    min_frames: int,
) -> PoseTracks:
    digest = hashlib.sha256(f"{len(frames.images)} {min_frames} {frames.starts[-1]}".encode())
    digest.update(frames.images[:: max(1, len(frames.images) // 64)].tobytes())
    for network in (detector, pose_extractor):
        for value in network.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
    key = digest.hexdigest()
    if path.exists():
        saved = _saved_tracks(path, key)
        if saved is not None:
            return saved
    tracks = extract_poses(frames, detector, pose_extractor, min_frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    spans = torch.from_numpy(tracks.spans)
    write_checkpoint(path, {"key": key, "poses": tracks.poses, "spans": spans})
    return tracks


def _saved_tracks(path: Path, key: str) -> PoseTracks | None:
    """The tracks of a file, where they are of this key and whole: each clip's rows are there."""
    try:
        saved = read_checkpoint(path)
    except IntegrityError:
        return None
    poses, spans = saved.get("poses"), saved.get("spans")
    if saved.get("key") != key or not isinstance(poses, Tensor) or not isinstance(spans, Tensor):
        return None
    is_whole = (
        poses.dtype == torch.float32
        and poses.ndim == 2
        and bool(poses.isfinite().all())
        and spans.dtype == torch.int64
        and spans.ndim == 2
        and spans.shape[1:] == (2,)
        and len(spans) > 0
        and bool((spans[:, 0] >= 0).all() and (spans[:, 1] > 0).all())
        and int(spans.sum(1).max()) <= len(poses)
    )
    return PoseTracks(poses, spans.numpy()) if is_whole else None
