"""One face followed through a video by the face mesh: lost, found again.

Where the face is lost, its surroundings are searched in every frame, the whole picture in some;
after half a second without it another face may take its place.
"""

from __future__ import annotations

import numpy as np

from stylefacev_cli.detection.face_finders import TrackRule
from stylefacev_cli.detection.face_mesh import FaceMesh, MeshFace
from stylefacev_cli.detection.face_track import MAX_GAP_S, choose_face, nearest_face
from stylefacev_cli.detection.mesh_regions import U8

_REACH = 1.5  # sizes of a lost face within which a face that is found may be it
_WHOLE_EVERY = 4  # frames from one search of the whole picture to the next, while it is lost


class FaceFollower:
    """Gives the face of one frame after the other, of a file or as a camera takes them.

    Attributes:
        notes: which face was chosen where there were several.
        num_faces: in the last frame that was searched as a whole.
    """

    def __init__(self, mesh: FaceMesh, rule: TrackRule, name: str) -> None:
        """Begin with the next frame.

        Args:
            mesh: finds and reads faces.
            rule: which face is followed.
            name: of the video, for messages.
        """
        self.notes: list[str] = []
        self.num_faces = 0
        self._mesh = mesh
        self._rule = rule
        self._name = name
        self._max_gap = round(MAX_GAP_S * rule.fps)
        self._last: MeshFace | None = None  # as it was last seen
        self._num_lost = 0  # frames since then

    def step(self, picture: U8, *, search: bool = False) -> MeshFace | None:
        """The face of the next frame [H, W, 3]; None where there is none.

        Args:
            picture: the frame.
            search: all of it is searched, so that `num_faces` is of this frame.

        Raises:
            DataError: the first frame with faces has fewer than the number.
        """
        face = None
        if search:
            face = self._choose(self._search_whole(picture))
        if face is None and self._last is not None and self._num_lost == 0:
            face = self._mesh.follow(picture, self._last)
        if face is None and not search:
            face = self._choose(self._search(picture))
        self._num_lost = 0 if face else self._num_lost + 1
        self._last = face or self._last
        return face

    def _search(self, picture: U8) -> list[MeshFace]:
        if self._last is not None:
            near = self._mesh.find_near(picture, self._last)
            if near or self._num_lost % _WHOLE_EVERY:
                return near
        return self._search_whole(picture)

    def _search_whole(self, picture: U8) -> list[MeshFace]:
        faces = self._mesh.find(picture)
        self.num_faces = len(faces)
        return faces

    def _choose(self, faces: list[MeshFace]) -> MeshFace | None:
        if not faces:
            return None
        if self._last is not None and self._num_lost <= self._max_gap:
            return _same_face(self._last, faces)
        return choose_face(faces, self._rule.face_number, self.notes, self._name)


def _same_face(last: MeshFace, faces: list[MeshFace]) -> MeshFace | None:
    """The nearest face that may be the one that was lost."""
    nearest = nearest_face(last, faces)
    away = float(np.abs(nearest.box - last.box).max()) / last.size_px
    return nearest if away <= _REACH else None
