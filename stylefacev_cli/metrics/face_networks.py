"""Face recognition networks of the identity metrics, by name.

Faces are detected by the landmark detector of the default model and aligned to the network's own
template (see `alignment`): dlib's chip by five points, ArcFace's crop. dlib's 68-point detector is
not for commercial use and not used. Cosines of different networks are not comparable; those of
dlib's descriptors are all positive, and say something only beside the cosine of different people.

arcface-iresnet50 is built by its paper and by the names of the released file; it is not tested with
the released weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.metrics.alignment import ARCFACE_CROP, DLIB_CHIP, Template, align_face
from stylefacev_cli.metrics.key_point_tracks import BATCH, detect_landmarks
from stylefacev_cli.networks.features.iresnet import IResNet50
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.weights.bundle import load_bundle, needed
from stylefacev_cli.weights.downloads import cache
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.locate import DEFAULT_MODEL
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint

Frames = NDArray[np.uint8]  # [N, H, W, 3]
Embeddings = NDArray[np.float32]  # [N, D]

DLIB_ENTRY = "dlib-face"
ARCFACE_ENTRY = "arcface-iresnet50"
# What loading weights of another network raises.
_MISFITS = (RuntimeError, ValueError, KeyError, AttributeError, TypeError)
NAMES = ("auto", ARCFACE_ENTRY, DLIB_ENTRY)


@dataclass(frozen=True)
class FaceNetwork:
    """A network of identity features.

    Attributes:
        name: goes into the metric's name.
        sha256: of the file of its weights.
        embed: frames uint8 [N, H, W, 3], H = W, one face in each → float32 [N, D], of any length;
            raises DataError if the frames are not square.
    """

    name: str
    sha256: str
    embed: Callable[[Frames], Embeddings]


def face_network(name: str = "auto") -> FaceNetwork:
    """A face recognition network by its name in the registry.

    Args:
        name: one of `NAMES`; `auto` is ArcFace if its weights are present, else dlib's, which are
            downloaded if needed. The licence of ArcFace's has to be accepted first.

    Raises:
        UsageError: no such network, or its licence has to be accepted first.
        MissingWeightsError: its weights are not there and cannot be fetched.
        IntegrityError: its weights are damaged.
    """
    if name not in NAMES:
        raise UsageError(f"no face network {name!r}; there are {', '.join(NAMES)}")
    if name == "auto":
        name = ARCFACE_ENTRY if _is_present(ARCFACE_ENTRY) else DLIB_ENTRY
    path = fetch_entry(find_entry(name))[0]
    if name == DLIB_ENTRY:
        template, embed_aligned = DLIB_CHIP, _load_dlib(path)
    else:
        template, embed_aligned = ARCFACE_CROP, arcface_features(read_arcface(path))
    detector = needed(load_bundle(DEFAULT_MODEL).networks.landmark_detector, "landmarks")

    def embed(frames: Frames) -> Embeddings:
        parts = [frames[first : first + BATCH] for first in range(0, len(frames), BATCH)]
        return np.concatenate([embed_aligned(aligned_faces(detector, p, template)) for p in parts])

    return FaceNetwork(name, sha256_of(path), embed)


def aligned_faces(detector: LandmarkDetector, frames: Frames, template: Template) -> Frames:
    """The face of each frame [N, S, S, 3], aligned to a template: [N, size, size, 3].

    Raises:
        DataError: the frames are not square.
    """
    landmarks = detect_landmarks(detector, frames) * frames.shape[1]  # px
    faces = zip(frames, landmarks, strict=True)
    return np.stack([align_face(frame, points, template) for frame, points in faces])


def arcface_features(network: IResNet50) -> Callable[[Frames], Embeddings]:
    """The function from aligned faces uint8 [N, 112, 112, 3] to features [N, 512]."""

    def embed_aligned(faces: Frames) -> Embeddings:
        with torch.inference_mode():
            inputs = torch.tensor(faces).permute(0, 3, 1, 2).float()
            features: Embeddings = network((inputs - 127.5) / 127.5).numpy()
        return features

    return embed_aligned


def read_arcface(path: Path) -> IResNet50:
    """IResNet-50 with the weights of a file, whose names and shapes must all fit.

    Raises:
        IntegrityError: they do not.
    """
    network = IResNet50()
    try:
        network.load_state_dict(read_checkpoint(path).load())
    except _MISFITS as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"{path} does not hold IResNet-50's weights: {reason}") from error
    return network.eval().requires_grad_(False)


def _load_dlib(path: Path) -> Callable[[Frames], Embeddings]:
    """The function from aligned faces uint8 [N, 150, 150, 3] to descriptors [N, 128]."""
    try:
        import dlib
    except ImportError as error:
        raise MissingWeightsError(
            f"the package dlib, which runs {DLIB_ENTRY}, is not there: pip install dlib-bin"
        ) from error
    try:
        network = dlib.face_recognition_model_v1(str(path))
    except RuntimeError as error:
        raise IntegrityError(f"{path} does not hold dlib's face network: {error}") from error

    def embed_aligned(faces: Frames) -> Embeddings:
        return np.array(network.compute_face_descriptor(list(faces)), np.float32)

    return embed_aligned


def _is_present(entry: str) -> bool:
    return all(cache.path_of(file).is_file() for file in find_entry(entry).files)
