"""The face of every frame of a video: which of several it is, doubts, and gaps.

`follow_face` is for finders that are too slow to search every frame; `MeshFinder` goes its own way
and shares the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from stylefacev_cli.detection.crop_window import NO_FACE, TWO_FACES
from stylefacev_cli.detection.face_finders import (
    F32,
    SEARCH_SIDE_PX,
    U8,
    Face,
    PictureSearch,
    Track,
    TrackRule,
    find_in_picture,
    scaled_face,
)
from stylefacev_cli.errors import DataError
from stylefacev_cli.media.images import shrunk

PHOTO_SIDE_PX = 320  # of the copy of a photo that a slow finder searches first
MAX_GAP_S = 0.5  # without a face, over which landmarks are interpolated


@runtime_checkable
class FollowingFinder(PictureSearch, Protocol):
    """What `follow_face` needs of a finder.

    Attributes:
        num_landmarks: 98 (WFLW) or 68 (300-W).
    """

    num_landmarks: int

    def follow(self, picture: U8, face: Face) -> Face | None:
        """A face of the frame before in this one; None if it is lost."""


def follow_face(
    face_finder: FollowingFinder, frames: Iterator[U8], rule: TrackRule, name: str
) -> Track:
    """The face of every frame of a video, by a finder that is too slow to search them all.

    Every so-and-so-many-th frame and the last one are searched as a whole; between them the face is
    followed. A face that is to be alone is in doubt around a search that finds none or several: the
    frames up to the searches before and after it are unusable too, since the change may lie
    anywhere between them.

    Args:
        face_finder: finds and follows faces.
        frames: uint8 [H, W, 3].
        rule: which face, and what becomes of gaps.
        name: of the video, for messages.

    Raises:
        DataError: the video cannot be read, has no frames or changes its size, or there is no face
            of that number.
    """
    seen: list[Face | None] = []
    reasons: list[str | None] = []
    searched: list[int] = []
    notes: list[str] = []
    face, last = None, None
    shape: tuple[int, ...] = ()
    for picture, is_last in frames_of_one_size(frames, name):
        shape = picture.shape
        reason: str | None = None
        if len(reasons) % rule.search_every == 0 or is_last:
            searched.append(len(reasons))
            faces = find_in_picture(face_finder, picture)
            face = None
            if len(faces) == 1 or (faces and not rule.is_alone):
                face = (
                    nearest_face(last, faces)
                    if last
                    else choose_face(faces, rule.face_number, notes, name)
                )
            reason = None if face else (TWO_FACES if faces else NO_FACE)
        elif face is not None:
            face = face_finder.follow(picture, face)
            reason = None if face else NO_FACE
        else:
            reason = reasons[-1]
        last = face or last
        seen.append(face)
        reasons.append(reason)
    if rule.is_alone:
        exclude_neighbours(reasons, searched, (NO_FACE, TWO_FACES))
    missing = np.full((face_finder.num_landmarks, 2), np.nan, np.float32)
    landmarks = np.stack([missing if one is None else one.landmarks for one in seen])
    scores = np.stack([missing[:, 0] if one is None else one.scores for one in seen])
    if not rule.is_alone:
        landmarks = bridge_gaps(landmarks, reasons, rule.fps, notes)
    return Track(landmarks, scores, reasons, shape[1], shape[0], notes)


def find_in_photo(face_finder: PictureSearch, photo: U8) -> list[Face]:
    """The faces of a photo, the surest first, in its own pixels.

    A finder that is too slow to search a large picture looks in a small copy first, and once more
    where the faces are. A photo in which that shows none is searched as `find_in_picture` does,
    which takes far longer.

    Args:
        face_finder: searches.
        photo: uint8 [H, W, 3].
    """
    longest = max(photo.shape[:2])
    factor = -(-longest // PHOTO_SIDE_PX)
    if factor == 1 or not isinstance(face_finder, FollowingFinder):
        return find_in_picture(face_finder, photo)
    if not (faces := face_finder.find(shrunk(photo, factor))):
        return find_in_picture(face_finder, photo)
    fine = -(-longest // SEARCH_SIDE_PX)
    copy = photo if fine == 1 else shrunk(photo, fine)
    coarse = [scaled_face(face, factor / fine) for face in faces]
    return [scaled_face(face_finder.follow(copy, face) or face, fine) for face in coarse]


class Boxed(Protocol):
    """A face by its box."""

    @property
    def box(self) -> F32:
        """Left, top, right, bottom [4] px."""


AnyFace = TypeVar("AnyFace", bound=Boxed)


def choose_face(
    faces: Sequence[AnyFace], face_number: int | None, notes: list[str], name: str
) -> AnyFace:
    """The face of a number, counted from the left, or the largest; of several it is noted which.

    Raises:
        DataError: there are fewer.
    """
    from_left = sorted(faces, key=lambda face: float(face.box[0]))
    if face_number is not None:
        if face_number > len(faces):
            count = f"{len(faces)} face{'s' if len(faces) > 1 else ''}"
            raise DataError(f"{name}: {count} found, there is no --face {face_number}")
        return from_left[face_number - 1]
    largest = max(from_left, key=lambda face: float((face.box[2:] - face.box[:2]).max()))
    note = (
        f"{len(faces)} faces found: the largest is taken, number "
        f"{[face is largest for face in from_left].index(True) + 1} from the left; --face chooses "
        "another"
    )
    if len(faces) > 1 and note not in notes:
        notes.append(note)
    return largest


def nearest_face(last: AnyFace, faces: Sequence[AnyFace]) -> AnyFace:
    """The face whose box is nearest to that of the one before."""
    return min(faces, key=lambda face: float(np.abs(face.box - last.box).sum()))


def bridge_gaps(points: F32, reasons: list[str | None], fps: float, notes: list[str]) -> F32:
    """Points [T, K, C] with gaps (NaN) of up to half a second interpolated; reasons cleared there.

    Gaps at the beginning and the end get the points of the frame next to them.
    """
    max_frames = round(MAX_GAP_S * fps)
    known = np.flatnonzero(~np.isnan(points).any((1, 2)))
    result: F32 = points.copy()
    num_filled = 0
    if not known.size:
        return result
    edges = [-1, *known.tolist(), len(points)]
    for first, last in zip(edges, edges[1:], strict=False):
        if not 1 < last - first <= max_frames + 1:
            continue
        before = points[first if first >= 0 else last]
        after = points[last if last < len(points) else first]
        for number in range(first + 1, last):
            share = np.float32((number - first) / (last - first))
            result[number] = before + share * (after - before)
            reasons[number] = None
        num_filled += last - first - 1
    if num_filled:
        frames = "frame" if num_filled == 1 else "frames"
        notes.append(f"no face in {num_filled} {frames}: interpolated")
    return result


def frames_of_one_size(frames: Iterator[U8], name: str) -> Iterator[tuple[U8, bool]]:
    """Each frame, and whether it is the last.

    Raises:
        DataError: there are none, or they change their size.
    """
    ahead = next(frames, None)
    if ahead is None:
        raise DataError(f"{name} has no frames")
    shape = ahead.shape
    for picture, is_last in _with_last(ahead, frames):
        if picture.shape != shape:
            raise DataError(f"{name}: the size of its frames changes; cut it there")
        yield picture, is_last


def _with_last(first: U8 | None, others: Iterator[U8]) -> Iterator[tuple[U8, bool]]:
    """Each frame, and whether it is the last."""
    before = first
    for frame in chain(others, [None]):
        if before is not None:
            yield before, frame is None
        before = frame


def exclude_neighbours(
    reasons: list[str | None], searched: list[int], in_doubt: tuple[str, ...]
) -> None:
    """Mark the frames on both sides of a search that failed for such a reason as unusable."""
    failed = {i: reasons[i] for i in searched if reasons[i] in in_doubt}
    for before, after in zip(searched, searched[1:], strict=False):
        reason = failed.get(before, failed.get(after))
        if reason is not None:
            for i in range(before + 1, after):
                reasons[i] = reasons[i] or reason
