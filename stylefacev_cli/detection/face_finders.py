"""Face finders: their protocol, and how one is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.detection import FACE_ALIGNMENT, FACE_MESH
from stylefacev_cli.errors import DataError
from stylefacev_cli.media.images import shrunk

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SEARCH_SIDE_PX = 1920  # of pictures searched as they are; larger ones are shrunk for it


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture; pixels, the centre of column i at i + 0.5."""

    landmarks: F32  # [K, 2]
    scores: F32  # [K] how sure the finder is of each
    box: F32  # [4] left, top, right, bottom of where the finder looked


class PictureSearch(Protocol):
    """Searches pictures for faces."""

    def find(self, picture: U8) -> list[Face]:
        """All faces of a picture [H, W, 3], the surest first."""


class FaceFinder(PictureSearch, Protocol):
    """Finds the faces of a picture with their landmarks; `open_face_finder` makes one.

    Attributes:
        num_landmarks: 98 (WFLW) or 68 (300-W).
        facts: name and hashes, for the manifest.
    """

    num_landmarks: int
    facts: dict[str, Any]

    def track(self, frames: Iterator[U8], rule: TrackRule, name: str) -> Track:
        """The face of every frame of a video; arguments and errors as for `follow_face`."""


@dataclass(frozen=True)
class TrackRule:
    """Which face of a video is tracked, and what becomes of frames without one.

    Attributes:
        fps: frames a second.
        search_every: frames from one search of the whole picture to the next.
        is_alone: frames with other faces are unusable, and so is every gap; else gaps of up to
            half a second are interpolated.
        face_number: which of several faces, from the left in the first frame that has any, from 1;
            None: the largest.
        smooth: by the one-euro filter; of finders that follow every frame.
    """

    fps: float
    search_every: int = 24
    is_alone: bool = False
    face_number: int | None = None
    smooth: bool = False


@dataclass(frozen=True, eq=False)
class Track:
    """The face of each frame of a video.

    Attributes:
        landmarks: float32 [T, K, 2] px; NaN where there is no face.
        scores: float32 [T, K].
        reasons: [T] why a frame cannot be used, or None.
        width: of the frames.
        height: of the frames.
        notes: worth knowing, a line each.
    """

    landmarks: F32
    scores: F32
    reasons: list[str | None]
    width: int
    height: int
    notes: list[str] = field(default_factory=list)

    def check_whole(self, name: str, hint: str = "") -> None:
        """Refuse a video of which a frame cannot be used.

        Args:
            name: of the video, for messages.
            hint: what else would help, put behind.

        Raises:
            DataError: there is such a frame; the first one is named.
        """
        for number, reason in enumerate(self.reasons):
            if reason is not None:
                raise DataError(
                    f"{name}: {reason} in frame {number}; cut the video to its face{hint}"
                )


def open_face_finder(detector: str, device: str, min_face_px: int) -> FaceFinder:
    """The face finder of a name.

    Args:
        detector: `face-mesh`, `face-alignment`, or a model whose landmark detector is to be used.
        device: as torch names it.
        min_face_px: faces whose square is smaller need not be found.

    Raises:
        MissingWeightsError: its weights are not on this machine.
        UsageError: the model has no landmark detector, or there is no such device.
        IntegrityError: its weights are damaged.
    """
    if detector == FACE_MESH:
        from stylefacev_cli.detection.mesh_finder import MeshFinder

        return MeshFinder.load(device)
    if detector == FACE_ALIGNMENT:
        from stylefacev_cli.detection.alignment_finder import AlignmentFinder

        return AlignmentFinder(device)
    from stylefacev_cli.detection.bundle_finder import open_bundle_finder

    return open_bundle_finder(detector, device, min_face_px)


def find_in_picture(face_finder: PictureSearch, picture: U8) -> list[Face]:
    """All faces of a picture of any size, the surest first, in its own pixels.

    A large one is searched in a smaller copy, and in one of twice its size if there is no face.

    Args:
        face_finder: searches.
        picture: uint8 [H, W, 3].
    """
    longest = max(picture.shape[:2])
    for side_px in (SEARCH_SIDE_PX, 2 * SEARCH_SIDE_PX):
        factor = -(-longest // side_px)
        if factor == 1:
            return face_finder.find(picture)
        if faces := face_finder.find(shrunk(picture, factor)):
            return [scaled_face(face, factor) for face in faces]
    return []


def scaled_face(face: Face, factor: float) -> Face:
    """A face in a picture that is larger by a factor."""
    size = np.float32(factor)
    return Face(face.landmarks * size, face.scores, face.box * size)
