"""Face finders: their protocol, and tracking one face through a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.detection.crop_window import NO_FACE, TWO_FACES
from stylefacev_cli.errors import DataError
from stylefacev_cli.media.images import shrunk

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

FACE_ALIGNMENT = "face-alignment"
SEARCH_SIDE_PX = 1920  # of pictures searched as they are; larger ones are shrunk for it
PHOTO_SIDE_PX = 320  # of the copy of a photo that is searched first


@dataclass(frozen=True)
class Face:
    """A face in a picture; pixels, the centre of column i at i + 0.5."""

    landmarks: F32  # [K, 2]
    scores: F32  # [K] how sure the finder is of each
    box: F32  # [4] left, top, right, bottom of where the finder looked


class FaceFinder(Protocol):
    """Finds the faces of a picture with their landmarks; `open_face_finder` makes one.

    Attributes:
        num_landmarks: 98 (WFLW) or 68 (300-W).
        facts: name and hashes, for the manifest.
    """

    num_landmarks: int
    facts: dict[str, Any]

    def find(self, picture: U8) -> list[Face]:
        """All faces of a picture [H, W, 3], the surest first."""

    def follow(self, picture: U8, face: Face) -> Face | None:
        """A face of the frame before in this one; None if it is lost."""


@dataclass(frozen=True)
class Track:
    """The face of each frame of a video.

    Attributes:
        landmarks: float32 [T, K, 2] px; NaN where there is no face.
        scores: float32 [T, K].
        reasons: [T] why a frame cannot be used, or None.
        width: of the frames.
        height: of the frames.
    """

    landmarks: F32
    scores: F32
    reasons: list[str | None]
    width: int
    height: int


def open_face_finder(detector: str, device: str, min_face_px: int) -> FaceFinder:
    """The face finder of a name.

    Args:
        detector: `face-alignment`, or a model whose landmark detector is to be used.
        device: as torch names it.
        min_face_px: faces whose square is smaller need not be found.

    Raises:
        MissingWeightsError: its weights are not on this machine.
        UsageError: the model has no landmark detector, or there is no such device.
        IntegrityError: its weights are damaged.
    """
    if detector == FACE_ALIGNMENT:
        from stylefacev_cli.detection.alignment_finder import AlignmentFinder

        return AlignmentFinder(device)
    from stylefacev_cli.detection.bundle_finder import open_bundle_finder

    return open_bundle_finder(detector, device, min_face_px)


def find_in_picture(face_finder: FaceFinder, picture: U8) -> list[Face]:
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
            return [_scaled(face, factor) for face in faces]
    return []


def find_in_photo(face_finder: FaceFinder, photo: U8) -> list[Face]:
    """The faces of a photo of one person, the surest first, in its own pixels.

    They are looked for in a small copy first, then looked at once more where they are. A photo in
    which that shows none is searched as `find_in_picture` does, which takes far longer.

    Args:
        face_finder: searches.
        photo: uint8 [H, W, 3].
    """
    longest = max(photo.shape[:2])
    factor = -(-longest // PHOTO_SIDE_PX)
    faces = face_finder.find(shrunk(photo, factor)) if factor > 1 else []
    if not faces:
        return find_in_picture(face_finder, photo)
    fine = -(-longest // SEARCH_SIDE_PX)
    copy = photo if fine == 1 else shrunk(photo, fine)
    coarse = [_scaled(face, factor / fine) for face in faces]
    return [_scaled(face_finder.follow(copy, face) or face, fine) for face in coarse]


def _scaled(face: Face, factor: float) -> Face:
    """A face in a picture that is larger by a factor."""
    size = np.float32(factor)
    return Face(face.landmarks * size, face.scores, face.box * size)


def follow_face(
    face_finder: FaceFinder, frames: Iterator[U8], search_every: int, name: str
) -> Track:
    """The face of every frame of a video.

    Every `search_every`-th frame and the last one are searched as a whole; between them the face is
    followed. Where a search finds no face or several, the frames up to the searches before and
    after it are unusable too, since the change may lie anywhere between them.

    Args:
        face_finder: finds and follows faces.
        frames: uint8 [H, W, 3].
        search_every: in frames.
        name: of the video, for messages.

    Raises:
        DataError: the video cannot be read, has no frames or changes its size.
    """
    landmarks: list[F32] = []
    scores: list[F32] = []
    reasons: list[str | None] = []
    searched: list[int] = []
    no_landmarks = np.full((face_finder.num_landmarks, 2), np.nan, np.float32)
    face: Face | None = None
    shape: tuple[int, ...] = ()
    ahead = next(frames, None)
    for frame in _with_last(ahead, frames):
        picture, is_last = frame
        shape = shape or picture.shape
        if picture.shape != shape:
            raise DataError(f"{name}: the size of its frames changes; cut it there")
        reason: str | None = None
        if len(reasons) % search_every == 0 or is_last:
            searched.append(len(reasons))
            faces = find_in_picture(face_finder, picture)
            face = faces[0] if len(faces) == 1 else None
            reason = None if face else (TWO_FACES if faces else NO_FACE)
        elif face is not None:
            face = face_finder.follow(picture, face)
            reason = None if face else NO_FACE
        else:
            reason = reasons[-1]
        landmarks.append(no_landmarks if face is None else face.landmarks)
        scores.append(no_landmarks[:, 0] if face is None else face.scores)
        reasons.append(reason)
    if not reasons:
        raise DataError(f"{name} has no frames")
    _exclude_neighbours(reasons, searched)
    return Track(np.stack(landmarks), np.stack(scores), reasons, shape[1], shape[0])


def _with_last(first: U8 | None, others: Iterator[U8]) -> Iterator[tuple[U8, bool]]:
    """Each frame, and whether it is the last."""
    before = first
    for frame in chain(others, [None]):
        if before is not None:
            yield before, frame is None
        before = frame


def _exclude_neighbours(reasons: list[str | None], searched: list[int]) -> None:
    """Mark the frames on both sides of a failed search as unusable."""
    failed = {i: reasons[i] for i in searched if reasons[i] is not None}
    for before, after in zip(searched, searched[1:], strict=False):
        reason = failed.get(before, failed.get(after))
        if reason is not None:
            for i in range(before + 1, after):
                reasons[i] = reasons[i] or reason
