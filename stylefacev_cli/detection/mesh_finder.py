"""The face mesh as a finder of faces: 98 landmarks of each face, by the table in `wflw_points`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylefacev_cli.detection.crop_window import NO_FACE, TWO_FACES
from stylefacev_cli.detection.face_finders import (
    Face,
    Track,
    TrackRule,
)
from stylefacev_cli.detection.face_follower import FaceFollower
from stylefacev_cli.detection.face_mesh import FaceMesh, MeshFace
from stylefacev_cli.detection.face_track import bridge_gaps, exclude_neighbours, frames_of_one_size
from stylefacev_cli.detection.mesh_regions import F32, U8
from stylefacev_cli.detection.one_euro import jitter, smoothed
from stylefacev_cli.detection.wflw_points import wflw_points
from stylefacev_cli.networks.features.face_mesh import NUM_POINTS
from stylefacev_cli.networks.stylefacev.landmarks import NUM_LANDMARKS

_EYE_CORNERS = (33, 263)


@dataclass(frozen=True, eq=False, kw_only=True)
class MeshTrack(Track):
    """A track that keeps all of the mesh.

    Attributes:
        points: float32 [T, 478, 3] px, see `FaceMeshResult`; NaN where there is no face.
        presence: float32 [T] in [0, 1]; 0 where no face was found.
    """

    points: F32
    presence: F32


class MeshFinder:
    """Finds faces with the face mesh, see above."""

    num_landmarks = NUM_LANDMARKS

    def __init__(self, mesh: FaceMesh) -> None:
        self.mesh = mesh
        self.facts: dict[str, Any] = {**mesh.facts, "landmarks": "98 WFLW"}

    @classmethod
    def load(cls, device: str) -> MeshFinder:
        """The finder on a device (errors as for `FaceMesh.load`)."""
        return cls(FaceMesh.load(device))

    def find(self, picture: U8) -> list[Face]:
        """All faces of a picture [H, W, 3], the surest first."""
        return [_face(face) for face in self.mesh.find(picture)]

    def track(self, frames: Iterator[U8], rule: TrackRule, name: str) -> MeshTrack:
        """The face of every frame of a video; arguments and errors as for `follow_face`.

        A lost face is searched for in every frame; whole pictures are searched for others only if
        it is to be alone.
        """
        follower = FaceFollower(self.mesh, rule, name)
        seen: list[MeshFace | None] = []
        reasons: list[str | None] = []
        searched: list[int] = []
        shape: tuple[int, ...] = ()
        for picture, is_last in frames_of_one_size(frames, name):
            shape = picture.shape
            search = rule.is_alone and (len(seen) % rule.search_every == 0 or is_last)
            face = follower.step(picture, search=search)
            reason = None if face else NO_FACE
            if search:
                searched.append(len(seen))
                reason = TWO_FACES if follower.num_faces > 1 else reason
            seen.append(face)
            reasons.append(reason)
        notes = follower.notes
        missing = np.full((NUM_POINTS, 3), np.nan, np.float32)
        points = np.stack([missing if one is None else one.points for one in seen])
        presence = np.array([one.presence if one else 0.0 for one in seen], np.float32)
        if rule.is_alone:
            exclude_neighbours(reasons, searched, (TWO_FACES,))
        else:
            points = bridge_gaps(points, reasons, rule.fps, notes)
        if rule.smooth:
            points = _smoothed(points, rule.fps, notes)
        landmarks = wflw_points(points)
        scores = np.repeat(presence[:, None], NUM_LANDMARKS, 1)
        return MeshTrack(
            landmarks, scores, reasons, shape[1], shape[0], notes, points=points, presence=presence
        )


def _face(face: MeshFace) -> Face:
    scores = np.full(NUM_LANDMARKS, face.presence, np.float32)
    return Face(wflw_points(face.points), scores, face.box)


def _smoothed(points: F32, fps: float, notes: list[str]) -> F32:
    """Smoothed points [T, 478, 3]; how much they tremble is noted."""
    right, left = (points[:, corner] for corner in _EYE_CORNERS)
    sizes = np.linalg.norm(left - right, axis=1)
    result = smoothed(points, sizes, fps)
    before, after = jitter(points, sizes), jitter(result, sizes)
    if not np.isnan(before):
        notes.append(
            f"landmarks tremble by {before:.2%} of the distance of the eyes, smoothed by "
            f"{after:.2%}"
        )
    return result
