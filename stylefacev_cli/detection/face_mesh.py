"""The face mesh: faces found in whole pictures, and 478 points of each.

The detector sees faces that fill a tenth of its 128 pixels or more, so that pictures are searched
in squares of several sizes. What it finds counts as a face if the mesh network says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylefacev_cli.detection.mesh_regions import (
    F32,
    F64,
    U8,
    as_image,
    cut_region,
    cut_squares,
    points_in_picture,
    region_of_box,
    region_of_points,
)
from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.features.face_mesh import (
    BLENDSHAPE_POINTS,
    DETECTOR_SIDE_PX,
    MESH_SIDE_PX,
    NUM_BLENDSHAPES,
    NUM_POINTS,
)
from stylefacev_cli.weights.convert.face_mesh_weights import (
    SHA256,
    FaceMeshNetworks,
    load_face_mesh,
)

PRESENT = 0.5  # presence from which on there is a face
_POSSIBLE = 0.5  # score of the detector from which on there may be one
_CERTAIN = 0.7  # score of the detector that confirms one
_AROUND = 1.3  # sides of its region that are looked at for that
_MIDDLE = 0.15  # sides of what is looked at, in which its centre lies
_SAME_FACE = 0.3  # overlap of two boxes of one face
_SETTLED = 0.05  # sides of a region, by which points may lie aside or be larger
_MAX_READS = 5
_MIN_REGION_PX = 16
_NEAR = 4.0  # side of the square that is searched around a lost face, in its sizes
_TILE_SIDES = (1.0, 0.5)  # of the squares that are searched, in shorter sides of the picture
_TILE_STEP = 0.5  # from square to square, in their sides
_MIN_TILE_PX = 128
_BATCH = 16


@dataclass(frozen=True, eq=False)
class FaceMeshResult:
    """Faces, one for each frame.

    Attributes:
        points: float32 [N, 478, 3] px of the frame, x right, y down, the centre of column i at
            i + 0.5; z towards the back, about as large; NaN where there is no face.
        presence: float32 [N] in [0, 1]: that there is a face; 0 where none was found.
        blendshapes: float32 [N, 52] in [0, 1], see `BLENDSHAPE_NAMES`; NaN where there is no face.
    """

    points: F32
    presence: F32
    blendshapes: F32


@dataclass(frozen=True, eq=False)
class MeshFace:
    """A face in a picture.

    Attributes:
        points: float32 [478, 3] px.
        presence: in [0, 1].
    """

    points: F32
    presence: float

    @property
    def box(self) -> F32:
        """Left, top, right, bottom [4] px."""
        flat = self.points[:, :2]
        return np.concatenate([flat.min(0), flat.max(0)])

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return float((self.box[2:] - self.box[:2]).max())


class FaceMesh:
    """Google's face mesh on torch, see above; `FaceMesh.load()` makes one."""

    def __init__(self, networks: FaceMeshNetworks, device: str = "cpu") -> None:
        """Take networks, which are moved to the device."""
        self.device = torch.device(device)
        for network in networks:
            network.to(self.device)
            network.to(memory_format=torch.channels_last)
        self._networks = networks
        self.facts = {"name": "face-mesh", "sha256": SHA256}

    @classmethod
    def load(cls, device: str = "cpu") -> FaceMesh:
        """The face mesh with the weights that come with the package, loaded once for each device.

        Args:
            device: as torch names it.

        Raises:
            UsageError: there is no such device.
            MissingWeightsError, IntegrityError: as `load_face_mesh`.
        """
        return _loaded(device)

    def __call__(self, frames: NDArray[np.uint8]) -> FaceMeshResult:
        """The largest face of each frame, each searched as a whole.

        Args:
            frames: uint8 [N, H, W, 3].
        """
        points = np.full((len(frames), NUM_POINTS, 3), np.nan, np.float32)
        presence = np.zeros(len(frames), np.float32)
        for number, frame in enumerate(frames):
            if faces := self.find(frame):
                face = max(faces, key=lambda face: face.size_px)
                points[number], presence[number] = face.points, face.presence
        return FaceMeshResult(points, presence, self.blendshapes(points))

    @torch.inference_mode()
    def find(self, picture: U8) -> list[MeshFace]:
        """All faces of a picture [H, W, 3], the surest first."""
        height, width = picture.shape[:2]
        return self._find(picture, _squares_of_picture(width, height))

    @torch.inference_mode()
    def find_near(self, picture: U8, face: MeshFace) -> list[MeshFace]:
        """Faces of a picture about where one was before."""
        region = region_of_points(face.points)
        square = np.array([[*region[:2], _NEAR * face.size_px, 0.0]])
        return self._find(picture, [square])

    def _find(self, picture: U8, squares: list[F64]) -> list[MeshFace]:
        image = as_image(picture, self.device)
        regions = self._possible_regions(image, squares)
        found: list[MeshFace] = []
        rough = zip(self.read(picture, regions), regions, strict=True)
        settled = [self._settled(picture, face, region) for face, region in rough]
        present = [
            face
            for face in settled
            if face is not None and face.presence >= PRESENT and self._is_confirmed(image, face)
        ]
        for face in sorted(present, key=lambda face: -face.presence):
            if all(_overlap(face.box, other.box) < _SAME_FACE for other in found):
                found.append(face)
        return found

    def follow(self, picture: U8, face: MeshFace) -> MeshFace | None:
        """A face of the frame before in this one; None if it is lost."""
        region = region_of_points(face.points)
        if not _can_be_read(region, picture):
            return None
        (again,) = self.read(picture, [region])
        settled = self._settled(picture, again, region)
        return settled if settled is not None and settled.presence >= PRESENT else None

    def _settled(self, picture: U8, face: MeshFace, region: F64) -> MeshFace | None:
        """A face read again where it is, until it stays there; None if it leaves the picture.

        Points of a face that is not in the middle of its region are wrong, though the network may
        be sure of them.
        """
        for _ in range(_MAX_READS - 1):
            after = region_of_points(face.points)
            if not _can_be_read(after, picture):
                return None
            moved = np.hypot(*(after - region)[:2]) / region[2]
            if moved <= _SETTLED and abs(after[2] / region[2] - 1) <= _SETTLED:
                break
            (face,) = self.read(picture, [after])
            region = after
        return face

    @torch.inference_mode()
    def read(self, picture: U8, regions: Sequence[F64]) -> list[MeshFace]:
        """The face in each region of a picture [H, W, 3], whether or not there is one."""
        faces: list[MeshFace] = []
        for start in range(0, len(regions), _BATCH):
            some = regions[start : start + _BATCH]
            cuts = [cut_region(picture, region, MESH_SIDE_PX, self.device) for region in some]
            result = self._networks.mesh(_stack(cuts))
            points, presence = result.points.cpu().numpy(), result.presence.cpu().numpy()
            faces += [
                MeshFace(points_in_picture(one, region), float(score))
                for one, score, region in zip(points, presence, some, strict=True)
            ]
        return faces

    @torch.inference_mode()
    def blendshapes(self, points: F32) -> F32:
        """Weights [N, 52] in [0, 1] of faces with points [N, 478, 3]; NaN where those are."""
        parts = [np.empty((0, NUM_BLENDSHAPES), np.float32)]
        for start in range(0, len(points), 256):
            some = points[start : start + 256][:, list(BLENDSHAPE_POINTS), :2]
            weights = self._networks.blendshapes(torch.tensor(some, device=self.device))
            parts.append(weights.cpu().numpy())
        return np.concatenate(parts)

    def _is_confirmed(self, image: Tensor, face: MeshFace) -> bool:
        """Whether the detector is sure of a face where it sees it upright, large and in the middle.

        The mesh network alone takes blurred things for faces, and so does the detector far off.
        """
        square = region_of_points(face.points) * [1, 1, _AROUND, 1]
        seen = self._networks.boxes(cut_squares(image, square[None], DETECTOR_SIDE_PX))
        centres = seen.boxes[0].reshape(-1, 2, 2).mean(1)
        in_middle = ((centres - 0.5).abs() < _MIDDLE).all(1)
        return bool((seen.scores[0][in_middle] >= _CERTAIN).any())

    def _possible_regions(self, image: Tensor, searched: Sequence[F64]) -> list[F64]:
        """Regions of the faces that the detector sees in squares of an image; one a face.

        Args:
            image: [1, 3, H, W] in [0, 1].
            searched: [N, 4] regions of one size each.
        """
        found: list[tuple[float, F64, F64]] = []
        for squares in searched:
            seen = self._networks.boxes(cut_squares(image, squares, DETECTOR_SIDE_PX))
            scores, boxes, eye_points = (values.cpu().numpy() for values in seen)
            corners = squares[:, None, :2] - squares[:, None, 2:3] / 2
            for number, anchor in zip(*np.nonzero(scores >= _POSSIBLE), strict=True):
                side, corner = squares[number, 2], corners[number]
                box = boxes[number, anchor].reshape(2, 2) * side + corner
                eyes = eye_points[number, anchor] * side + corner
                found.append((float(scores[number, anchor]), box.reshape(4), eyes))
        return [region_of_box(box, eyes) for box, eyes in _merged(found)]


@cache
def _loaded(device: str) -> FaceMesh:
    networks = load_face_mesh()
    try:
        return FaceMesh(networks, device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used: {reason}") from error


def _squares_of_picture(width: int, height: int) -> list[F64]:
    """The squares [N, 4] that are searched: all of the picture, then overlapping ones by size."""
    longest, shortest = max(width, height), min(width, height)
    squares = [np.array([[width / 2, height / 2, longest, 0.0]])]
    for share in _TILE_SIDES:
        side = share * shortest
        if _MIN_TILE_PX <= side <= 0.9 * longest:
            places = [(x, y) for y in _centres(height, side) for x in _centres(width, side)]
            squares.append(np.array([[x, y, side, 0.0] for x, y in places]))
    return squares


def _centres(length: int, side: float) -> list[float]:
    """Centres of squares along an axis, from edge to edge."""
    count = int(np.ceil((length - side) / (_TILE_STEP * side) - 1e-6)) + 1
    return [float(c) for c in np.linspace(side / 2, length - side / 2, count)]


def _merged(found: list[tuple[float, F64, F64]]) -> list[tuple[F64, F64]]:
    """One box and its points for each face: the mean of those that overlap, by their scores."""
    waiting = sorted(found, key=lambda one: -one[0])
    merged: list[tuple[F64, F64]] = []
    while waiting:
        same = [one for one in waiting if _overlap(waiting[0][1], one[1]) >= _SAME_FACE]
        waiting = [one for one in waiting[1:] if _overlap(same[0][1], one[1]) < _SAME_FACE]
        total = sum(score for score, _, _ in same)
        box = sum((score / total * box for score, box, _ in same), np.zeros(4))
        eyes = sum((score / total * eyes for score, _, eyes in same), np.zeros((6, 2)))
        merged.append((np.asarray(box), np.asarray(eyes)))
    return merged


def _can_be_read(region: F64, picture: U8) -> bool:
    """Whether a region has its centre in the picture, and a size that a face may have."""
    height, width = picture.shape[:2]
    x, y, side, _ = region
    is_inside = 0 <= x <= width and 0 <= y <= height
    return bool(is_inside and _MIN_REGION_PX <= side <= 4 * max(width, height))


def _overlap(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes [4]."""
    common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common
    return float(common / union) if union > 0 else 0.0


def _stack(cuts: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(cuts).contiguous(memory_format=torch.channels_last)
