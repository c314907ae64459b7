from __future__ import annotations

import numpy as np
import pytest
from mesh_pictures import U8, golden, portrait, scene

from stylefacev_cli.detection.face_mesh import FaceMesh
from stylefacev_cli.detection.mesh_regions import region_of_points
from stylefacev_cli.errors import UsageError


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh.load()


def expected(number: int, left: int, top: int, side_px: int) -> np.ndarray:
    return golden()["points"][number, :, :2] * side_px / 256 + [left, top]


def error(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in distances of the outer corners of the eyes."""
    eyes = np.linalg.norm(truth[33] - truth[263])
    return float(np.linalg.norm(points[:, :2] - truth, axis=1).mean() / eyes)


@pytest.mark.parametrize(
    "place", [(3, 280, 0, 360), (3, 40, 100, 200), (1, 500, 30, 130), (0, 10, 250, 110)]
)
def test_a_face_is_found_in_any_size(mesh: FaceMesh, place: tuple[int, int, int, int]) -> None:
    (face,) = mesh.find(scene(place))
    assert face.presence > 0.9
    # The golden points are of a picture whose face is small in the middle: less exact than these.
    assert error(face.points, expected(*place)) < 0.06


def test_several_faces_and_none(mesh: FaceMesh) -> None:
    both = scene((3, 20, 100, 200), (1, 420, 60, 160))
    lefts = sorted(float(face.box[0]) for face in mesh.find(both))
    assert len(lefts) == 2 and lefts[0] < 220 and lefts[1] > 400
    random = np.random.default_rng(0)
    rows = np.linspace(0, 255, 240).astype(np.uint8)
    for nothing in (
        np.full((240, 320, 3), 90, np.uint8),
        random.integers(0, 256, (240, 320, 3), np.uint8),
        np.broadcast_to(rows[:, None, None], (240, 320, 3)).copy(),
    ):
        assert mesh.find(nothing) == []


def test_the_largest_face_of_each_frame(mesh: FaceMesh) -> None:
    frames = np.stack([
        scene((3, 20, 100, 240), (1, 420, 60, 160)),
        scene(),
    ])  # fmt: skip
    result = mesh(frames)
    assert result.points.shape == (2, 478, 3) and result.points.dtype == np.float32
    assert error(result.points[0], expected(3, 20, 100, 240)) < 0.06
    assert result.presence[0] > 0.9 and result.presence[1] == 0
    assert np.isnan(result.points[1]).all() and np.isnan(result.blendshapes[1]).all()
    assert ((result.blendshapes[0] >= 0) & (result.blendshapes[0] <= 1)).all()
    nothing = mesh(np.empty((0, 90, 120, 3), np.uint8))
    assert len(nothing.points) == len(nothing.blendshapes) == 0


def turned(picture: U8, degrees: float) -> U8:
    from PIL import Image

    image = Image.fromarray(picture)
    return np.asarray(image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(96, 96, 96)))


def test_a_tilted_face_has_a_tilted_region(mesh: FaceMesh) -> None:
    upright = scene((3, 200, 40, 280))
    (face,) = mesh.find(upright)
    (other,) = mesh.find(turned(upright, 25))
    tilt = region_of_points(face.points)[3] - region_of_points(other.points)[3]
    assert np.degrees(tilt) == pytest.approx(25, abs=1.5)
    eyes = np.linalg.norm(face.points[33, :2] - face.points[263, :2])
    assert np.linalg.norm(other.points[33, :2] - other.points[263, :2]) == pytest.approx(
        eyes, rel=0.03
    )


def test_a_face_is_followed_however_fast(mesh: FaceMesh) -> None:
    """From frame to frame it moves by 40 % of its size, more than its region has room for."""
    (face,) = mesh.find(scene((3, 100, 100, 160)))
    for left in (130, 160, 190):
        found = mesh.follow(scene((3, left, 100, 160)), face)
        assert found is not None
        (truth,) = mesh.find(scene((3, left, 100, 160)))
        assert error(found.points, truth.points[:, :2]) < 0.01
        face = found
    assert mesh.follow(scene(), face) is None
    small = scene((3, 20, 20, 100), width=160, height=120)
    assert mesh.follow(small, face) is None  # where it was is no place of this picture


def test_devices_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="--device teapot"):
        FaceMesh.load("teapot")


def test_frames_that_faces_fill(mesh: FaceMesh) -> None:
    for number in range(4):
        assert len(mesh.find(portrait(number, 64))) == 1
