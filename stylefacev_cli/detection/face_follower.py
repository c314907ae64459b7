"""One face followed through a video by the face mesh: lost, found again, smoothed.

Where the face is lost, its surroundings are searched in every frame, the whole picture in some;
after half a second without it another face may take its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stylefacev_cli.detection.face_mesh import FaceMesh, MeshFace
from stylefacev_cli.detection.mesh_regions import F32, U8
from stylefacev_cli.detection.one_euro import jitter, smoothed
from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.features.face_mesh import NUM_POINTS

MAX_GAP_S = 0.5  # without a face, over which points are interpolated
_REACH = 1.5  # sizes of a lost face within which a face that is found may be it
_WHOLE_EVERY = 4  # frames from one search of the whole picture to the next, while it is lost
_EYE_CORNERS = (33, 263)


@dataclass(frozen=True, eq=False)
class MeshTrack:
    """The face of each frame of a video.

    Attributes:
        points: float32 [T, 478, 3] px of the frame; NaN where there is no face.
        presence: float32 [T]; 0 where none was found.
        blendshapes: float32 [T, 52]; NaN where there is no face.
        is_filled: bool [T]: interpolated between frames with a face.
        notes: worth knowing, a line each.
    """

    points: F32
    presence: F32
    blendshapes: F32
    is_filled: np.ndarray[tuple[int], np.dtype[np.bool_]]
    notes: list[str]


class FaceFollower:
    """Gives the face of one frame after the other; for live pictures, and for `track_face`.

    Attributes:
        notes: which face was chosen where there were several.
    """

    def __init__(self, mesh: FaceMesh, fps: float, face_number: int | None = None) -> None:
        """Begin with the next frame.

        Args:
            mesh: finds and reads faces.
            fps: frames a second.
            face_number: which face of the first frame that has any, from the left, from 1; None:
                the largest.
        """
        self.notes: list[str] = []
        self._mesh = mesh
        self._number = face_number
        self._max_gap = max_gap(fps)
        self._last: MeshFace | None = None  # as it was last seen
        self._num_lost = 0  # frames since then

    def step(self, picture: U8) -> MeshFace | None:
        """The face of the next frame [H, W, 3]; None where there is none.

        Raises:
            DataError: the first frame with faces has fewer than the number.
        """
        face = None
        if self._last is not None and self._num_lost == 0:
            face = self._mesh.follow(picture, self._last)
        if face is None:
            face = self._choose(self._search(picture))
        self._num_lost = 0 if face else self._num_lost + 1
        self._last = face or self._last
        return face

    def _search(self, picture: U8) -> list[MeshFace]:
        if self._last is not None:
            near = self._mesh.find_near(picture, self._last)
            if near or self._num_lost % _WHOLE_EVERY:
                return near
        return self._mesh.find(picture)

    def _choose(self, faces: list[MeshFace]) -> MeshFace | None:
        if not faces:
            return None
        if self._last is not None and self._num_lost <= self._max_gap:
            return _same_face(self._last, faces)
        faces = sorted(faces, key=lambda face: face.box[0])
        if self._number is not None:
            if self._number > len(faces):
                raise DataError(f"there is no face {self._number}: {number_of(len(faces))}")
            return faces[self._number - 1]
        largest = max(faces, key=lambda face: face.size_px)
        note = (
            f"{number_of(len(faces))}: the largest is taken, number {faces.index(largest) + 1} "
            "from the left; --face chooses another"
        )
        if len(faces) > 1 and note not in self.notes:
            self.notes.append(note)
        return largest


def _same_face(last: MeshFace, faces: list[MeshFace]) -> MeshFace | None:
    """The nearest face that may be the one that was lost."""
    nearest = min(faces, key=lambda face: float(np.abs(face.box - last.box).sum()))
    away = np.abs(nearest.box - last.box).max() / last.size_px
    return nearest if away <= _REACH else None


def max_gap(fps: float) -> int:
    """Frames without a face, over which points are interpolated."""
    return round(MAX_GAP_S * fps)


def number_of(count: int) -> str:
    """A count of faces in words."""
    return f"{count} face{'' if count == 1 else 's'} found"


def track_face(
    mesh: FaceMesh,
    frames: Iterator[U8],
    fps: float,
    *,
    face_number: int | None = None,
    smooth: bool = True,
) -> MeshTrack:
    """The face of every frame of a video.

    Args:
        mesh: finds and reads faces.
        frames: uint8 [H, W, 3], all of one size.
        fps: frames a second.
        face_number: see `FaceFollower`.
        smooth: by the one-euro filter.

    Raises:
        DataError: the video cannot be read, or the first frame with faces has fewer than the
            number.
    """
    follower = FaceFollower(mesh, fps, face_number)
    seen = [follower.step(frame) for frame in frames]
    missing = np.full((NUM_POINTS, 3), np.nan, np.float32)
    points = np.array([missing if face is None else face.points for face in seen], np.float32)
    points = points.reshape(-1, NUM_POINTS, 3)
    points, is_filled = fill_gaps(points, max_gap(fps))
    notes = [*follower.notes]
    if is_filled.any():
        notes.append(f"no face in {int(is_filled.sum())} frames: interpolated")
    if smooth:
        sizes = eye_distances(points)
        before, points = jitter(points, sizes), smoothed(points, sizes, fps)
        after = jitter(points, sizes)
        if not np.isnan(before):
            notes.append(
                f"landmarks tremble by {before:.2%} of the distance of the eyes, smoothed by "
                f"{after:.2%}"
            )
    return MeshTrack(
        points,
        np.array([0.0 if face is None else face.presence for face in seen], np.float32),
        mesh.blendshapes(points),
        is_filled,
        notes,
    )


def eye_distances(points: F32) -> F32:
    """Distances [T] of the outer corners of the eyes in points [T, 478, 3]."""
    a, b = (points[:, corner] for corner in _EYE_CORNERS)
    return np.asarray(np.linalg.norm(b - a, axis=1), np.float32)


def fill_gaps(
    points: F32, max_frames: int
) -> tuple[F32, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Points [T, K, C] with short gaps (NaN) interpolated, and which frames those are.

    Gaps at the beginning and the end are filled with the frame next to them.

    Args:
        points: NaN where there is no face.
        max_frames: longer gaps are left.
    """
    known = np.flatnonzero(~np.isnan(points).any((1, 2)))
    is_filled = np.zeros(len(points), np.bool_)
    result = points.copy()
    if not known.size:
        return result, is_filled
    edges = [-1, *known, len(points)]
    for first, last in zip(edges, edges[1:], strict=False):
        if not 1 < last - first <= max_frames + 1:
            continue
        before = points[first if first >= 0 else last]
        after = points[last if last < len(points) else first]
        for number in range(first + 1, last):
            share = np.float32((number - first) / (last - first))
            result[number] = before + share * (after - before)
            is_filled[number] = True
    return result, is_filled
