"""Sets of clips → the frames that stages train on: in memory, or in files that are mapped.

Large sets are unpacked once into plain arrays in a folder of the run, and mapped from there: the
system keeps in memory what is in use, and gives the rest back when something else needs the room.
Processes of one run share them, and a resumed run finds them again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylefacev_cli.common.distributed import process_index, wait_for_all
from stylefacev_cli.common.files import remove, replacing, writing
from stylefacev_cli.datasets.clips import (
    HAIR_BLOCK_PX,
    INDEX_NAME,
    MANIFEST_NAME,
    Clip,
    ClipEntry,
    ClipSet,
)
from stylefacev_cli.datasets.splits import is_held_out
from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.networks.stylefacev.landmarks import key_points_from_landmarks
from stylefacev_cli.training.batches.clip_frames import CPU, Frames

_KEY_CHARS = 16


@dataclass(frozen=True)
class Mapping:
    """Where frames go that are too many for the memory.

    Attributes:
        folder: is made when it is needed.
        from_bytes: sets that take less stay in memory.
    """

    folder: Path
    from_bytes: int


def load_frames(
    folders: list[Path],
    resolution: int,
    held_out_permille: int,
    device: torch.device = CPU,
    mapping: Mapping | None = None,
    *,
    resize: bool = False,
) -> Frames:
    """Read sets of clips and stills.

    Args:
        folders: sets as `stylefacev data render` and `data prepare` make them.
        resolution: the size that the frames must have, px.
        held_out_permille: how many in a thousand persons are kept for validation (see
            `is_held_out`); a split that a set has fixed in its index goes first.
        device: where batches are put.
        mapping: for sets that are large; without it everything is read into memory.
        resize: bring larger frames down to `resolution`; else they are refused.

    Raises:
        DataError: a set is missing, damaged, empty or of another size.
        StyleFaceVError: there is no space for the files that are to be mapped.
    """
    if not folders:
        raise DataError(
            "no data: name folders with --data, made by `stylefacev data render` or `data prepare`"
        )
    sets = [ClipSet(folder) for folder in folders]
    clips = [clip for clip_set in sets for clip in clip_set]
    if not clips:
        raise DataError(f"no clips in {', '.join(map(str, folders))}")
    lengths = [clip.entry.num_frames for clip in clips]
    num_factors = _labels(clips[0], lengths[0])["factors"].shape[1]
    has_hair = any(says_hair(one) for one in sets)
    kinds = _kinds(sum(lengths), resolution, num_factors, has_hair)
    size = sum(_num_bytes(*kind) for kind in kinds.values())
    if mapping is None or size < mapping.from_bytes:
        arrays = {name: np.empty(shape, dtype) for name, (shape, dtype) in kinds.items()}
        _fill(arrays, clips, resolution, resize)
    else:
        key = _key(sets, resolution)
        arrays = _mapped(
            mapping.folder / key, kinds, lambda into: _fill(into, clips, resolution, resize)
        )
    held_out = [for_validation(clip.folder, clip.entry, held_out_permille) for clip in clips]
    moving = np.array([clip.entry.kind == "clip" for clip in clips])
    longest = max((clip for clip in clips if clip.entry.kind == "clip"),
                  key=lambda clip: clip.entry.num_frames, default=None)  # fmt: skip
    return Frames(
        **arrays,
        held_out=np.repeat(held_out, lengths),
        starts=np.cumsum([0, *lengths]),
        moving=moving,
        fps=float(longest.entry.fps) if longest is not None else 0.0,
        device=device,
        digest=digest_of(sets),
        rates=np.array([clip.entry.fps for clip in clips], float),
    )


def for_validation(folder: Path, entry: ClipEntry, held_out_permille: int) -> bool:
    """Whether a clip of a set is kept for validation; arguments as for `load_frames`."""
    if entry.split is not None:
        return entry.split == "val"
    return is_held_out(folder.resolve().name, entry.identity, held_out_permille)


def says_hair(clips: ClipSet) -> bool:
    """Whether a set says where hair is; its first clip stands for all."""
    return "hair" in clips.clip(0).labels()


def num_bytes_of(num_frames: int, resolution: int, num_factors: int, has_hair: bool) -> int:
    """Bytes of the frames and their labels, in memory or in files."""
    kinds = _kinds(num_frames, resolution, num_factors, has_hair)
    return sum(_num_bytes(*kind) for kind in kinds.values())


Kinds = dict[str, tuple[tuple[int, ...], type[np.generic]]]


def _kinds(num_frames: int, resolution: int, num_factors: int, has_hair: bool) -> Kinds:
    """Shape and type of each array."""
    cells = resolution // HAIR_BLOCK_PX
    hair: Kinds = {"hair": ((num_frames, cells, cells), np.uint8)} if has_hair else {}
    return {
        "images": ((num_frames, resolution, resolution, 3), np.uint8),
        "factors": ((num_frames, num_factors), np.float32),
        "landmarks": ((num_frames, 98, 2), np.float32),
        "key_points": ((num_frames, 14, 2), np.float32),
        "visible": ((num_frames, 98), np.bool_),
        **hair,
    }


def _num_bytes(shape: tuple[int, ...], dtype: type[np.generic]) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _fill(arrays: dict[str, np.ndarray], clips: list[Clip], resolution: int, resize: bool) -> None:
    row = 0
    for clip in clips:
        images = clip.frames()
        if resize and images.shape[1] > resolution:
            images = _reduced(images, resolution)
        if images.shape[1:] != (resolution, resolution, 3):
            raise DataError(
                f"{clip.folder}: clip {clip.entry.id} is {images.shape[1]} px, "
                f"the config says {resolution}"
            )
        rows = slice(row, row + len(images))
        labels = _labels(clip, len(images))
        if resize and labels["hair"].ndim == 3:
            cells = labels["hair"][..., None]
            labels["hair"] = _reduced(cells, resolution // HAIR_BLOCK_PX)[..., 0]
        for name, array in arrays.items():
            try:
                array[rows] = images if name == "images" else labels[name]
            except ValueError as error:
                raise DataError(f"the sets do not go together: {name}: {error}") from error
        row = rows.stop


def _reduced(images: np.ndarray, size_px: int) -> np.ndarray:
    """Images [T, S, S, C] brought down to a size, each pixel the mean over its area."""
    if images.shape[1] <= size_px:
        return images
    planes = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    reduced = resize_square(planes, size_px).round().to(torch.uint8)
    return reduced.permute(0, 2, 3, 1).numpy()


def _labels(clip: Clip, num_frames: int) -> dict[str, np.ndarray]:
    """The labels of a clip; NaN for what it lacks, no hair."""
    there = clip.labels()

    def label(name: str, default: Any) -> np.ndarray:
        return np.asarray(there.get(name, default), np.float32)

    landmarks = label("landmarks", np.full((num_frames, 98, 2), np.nan))
    points = key_points_from_landmarks(torch.from_numpy(landmarks)).numpy()
    return {
        "factors": label("factors", np.empty((num_frames, 0))),
        "landmarks": landmarks,
        "key_points": label("key_points", points),
        "visible": there.get("visible", np.zeros((num_frames, 98), bool)).astype(bool),
        "hair": there.get("hair", np.zeros(1, np.uint8)),
    }


def digest_of(sets: list[ClipSet]) -> str:
    """Names what the sets hold by what they say of themselves, wherever they lie."""
    digest = hashlib.sha256()
    for one in sets:
        for name in (INDEX_NAME, MANIFEST_NAME):
            path = one.folder / name
            digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:_KEY_CHARS]


def _key(sets: list[ClipSet], resolution: int) -> str:
    """A name for what the sets hold: other files, or changed ones, give another."""
    digest = hashlib.sha256(f"{resolution}\n".encode())
    for one in sets:
        digest.update((one.folder / INDEX_NAME).read_bytes())
        for entry in one.entries:
            for name in (entry.file, entry.labels):
                if name is not None and (one.folder / name).exists():
                    about = (one.folder / name).stat()
                    digest.update(f"{about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:_KEY_CHARS]


def _mapped(
    folder: Path, kinds: Kinds, fill: Callable[[dict[str, np.ndarray]], None]
) -> dict[str, np.ndarray]:
    """The arrays in files of a folder, read-only; the first process writes what is not there."""
    if process_index() == 0 and not folder.is_dir():
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob("[!.]*"):  # of other data; who reads them has them open
            remove(old)
        with replacing(folder, is_folder=True) as part:
            with writing(folder):
                arrays = {name: _new_file(part / name, kind) for name, kind in kinds.items()}
            fill(arrays)
    wait_for_all()
    if not folder.is_dir():
        raise DataError(f"{folder} is not there: machines that train together share --out")
    return {
        name: np.asarray(np.memmap(folder / name, dtype, "r", shape=shape))
        if _num_bytes(shape, dtype) else np.empty(shape, dtype)
        for name, (shape, dtype) in kinds.items()
    }  # fmt: skip


def _new_file(path: Path, kind: tuple[tuple[int, ...], type[np.generic]]) -> np.ndarray:
    shape, dtype = kind
    if not _num_bytes(shape, dtype):
        return np.empty(shape, dtype)
    with path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is told now; later it would be a SIGBUS
            os.posix_fallocate(file.fileno(), 0, _num_bytes(shape, dtype))
    return np.memmap(path, dtype, "r+" if path.stat().st_size else "w+", shape=shape)


def rendering_of(folders: list[Path]) -> dict[str, Any]:
    """How rendered sets were made: `framing`, `look` and `recipe`, each if all sets say the same.

    Raises:
        DataError: a set's manifest is damaged.
    """
    first, *others = [_rendering(ClipSet(folder).manifest()) for folder in folders] or [{}]
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }


def _rendering(manifest: dict[str, Any]) -> dict[str, Any]:
    """What one manifest says; nothing for footage, whose recipes are others."""
    settings = manifest.get("settings")
    if not isinstance(settings, dict) or "framing" not in settings:
        return {}
    told = {name: settings.get(name) for name in ("framing", "look")}
    told |= {"recipe": manifest.get("recipe")}
    return {name: value for name, value in told.items() if value is not None}
