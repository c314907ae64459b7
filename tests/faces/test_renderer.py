"""What pictures show: teeth, folds, glasses, rooms; and the landmarks of the visible outline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stylefacev_cli.faces.accessories import accessory_triangles
from stylefacev_cli.faces.camera import project, turn_points
from stylefacev_cli.faces.factors import Z_DIM, FaceFactors
from stylefacev_cli.faces.landmarks import INNER_LIPS, landmark_points
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.parameters import Pose
from stylefacev_cli.faces.posed_head import pose_head
from stylefacev_cli.faces.wrinkles import GROUPS, wrinkle_depths, wrinkle_map

REST = Pose(head_fraction=0.84)
EYES, MOUTH, NOSE_TIP = slice(60, 76), slice(76, 96), 54


def person(
    studio: LatentRenderer, pose: Pose = REST, seed: int = 0, **factors: float
) -> np.ndarray:
    """A latent with some factors set by name; short hair, so that nothing covers the face."""
    f = studio.factors
    z = f.with_poses(f.sample(np.random.default_rng(seed)), f.pose_factors(pose)[None])[0]
    return f.with_values(z, **{"hair_length": -3.0, "fringe": -2.0, "glasses": -3.0, **factors})


def change(studio: LatentRenderer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest difference of channels [S, S] between two latents' pictures."""
    pictures = [studio.render(z).image.astype(int) for z in (a, b)]
    return np.abs(pictures[0] - pictures[1]).max(-1)


@pytest.mark.parametrize(
    ("group", "pose"),
    [
        ("smile", Pose(smile=0.9)),
        ("eyes", Pose(smile=0.9)),
        ("eyes", Pose(squint=0.8)),
        ("forehead", Pose(brows=0.9)),
        ("frown", Pose(brows=-0.7)),
    ],
)
def test_expressions_and_age_deepen_folds(group: str, pose: Pose) -> None:
    identity = FaceFactors().identity_of(np.zeros(Z_DIM, np.float32))
    young, old = replace(identity, age=0.5), replace(identity, age=0.85)
    at = GROUPS.index(group)
    assert wrinkle_depths(young, pose)[at] > wrinkle_depths(young, Pose())[at] + 0.1
    assert wrinkle_depths(old, pose)[at] > wrinkle_depths(young, pose)[at] + 0.1
    assert (wrinkle_depths(old, pose) <= 1.2).all()


@pytest.mark.render
def test_folds_are_lines_of_dark_and_light(studio: LatentRenderer) -> None:
    folds = wrinkle_map(load_mesh().paint_positions) / 255 - 0.5
    np.testing.assert_allclose(folds, folds[:, ::-1], atol=0.15)  # the same on both sides
    for k in range(len(GROUPS)):
        assert folds[..., k].min() < -0.35 and folds[..., k].max() > 0.08
        assert (np.abs(folds[..., k]) < 0.02).mean() > 0.9


@pytest.mark.render
def test_glasses_change_the_region_of_the_eyes_only(studio: LatentRenderer) -> None:
    bare, worn = person(studio), person(studio, glasses=3.0)
    changed = change(studio, bare, worn) > 8
    landmarks = studio.render(bare).landmarks * studio.size_px
    rows = np.flatnonzero(changed.any(1))
    height = landmarks[NOSE_TIP, 1] - landmarks[EYES, 1].mean()
    assert changed.sum() > 60
    assert rows.min() > landmarks[EYES, 1].mean() - height
    assert rows.max() < landmarks[NOSE_TIP, 1] + 2
    assert studio.render(worn).visible[EYES].all()  # glass hides nothing


@pytest.mark.render
def test_glasses_and_earrings_fade_in(studio: LatentRenderer) -> None:
    for name, low, high in (("glasses", 0.5, 1.5), ("earrings", -2.0, 3.0)):
        steps = [person(studio, **{name: float(value)}) for value in np.linspace(low, high, 41)]
        pictures = [studio.render(z).image.astype(int) for z in steps]
        whole = np.abs(pictures[-1] - pictures[0]).max()
        jumps = [np.abs(b - a).max() for a, b in zip(pictures[:-1], pictures[1:], strict=True)]
        assert whole > 25
        assert max(jumps) < 0.75 * whole


@pytest.mark.render
def test_earrings_hang_below_the_ears(studio: LatentRenderer) -> None:
    changed = change(studio, person(studio, earrings=-3.0), person(studio, earrings=3.0)) > 8
    rows, columns = np.nonzero(changed)
    landmarks = studio.render(person(studio)).landmarks * studio.size_px
    assert 4 < len(rows) < 150
    assert (rows > landmarks[EYES, 1].mean()).all()
    inner = landmarks[MOUTH]
    assert ((columns < inner[:, 0].min()) | (columns > inner[:, 0].max())).all()


def test_accessories_are_closed_tubes() -> None:
    triangles = accessory_triangles()
    assert triangles.min() == 0 and len(np.unique(triangles)) == triangles.max() + 1


@pytest.mark.render
def test_teeth_show_when_the_lips_part(studio: LatentRenderer) -> None:
    mesh, closed = load_mesh(), Pose(smile=0.3, head_fraction=0.84)
    laughing = replace(closed, smile=0.8, jaw=0.3, lips=0.4)
    for seed in range(6):
        head = studio.head(person(studio, seed=seed))
        shut, parted = (pose_head(mesh, head, pose) for pose in (closed, laughing))
        assert shut.lips_parted() < 0.3 and parted.lips_parted() > 0.95
        edge = head.teeth[0, 48]  # of the incisors, in the middle of the upper arch
        upper, lower = landmark_points(head.landmarks, parted.vertices)[list(INNER_LIPS)]
        assert lower[1] < edge[1] < upper[1] - 0.02
        assert edge[2] < min(upper[2], lower[2]) + 0.05 and head.teeth[..., 2].max() < upper[2]


@pytest.mark.render
def test_teeth_of_an_open_mouth_are_light(studio: LatentRenderer) -> None:
    pose = Pose(smile=0.9, jaw=0.35, lips=0.5, head_fraction=0.84)
    open_mouth = studio.render(person(studio, pose, skin_tone=2.5, ancestry_1=-2.0))
    lips = open_mouth.landmarks[88:96] * studio.size_px
    (left, top), (right, bottom) = lips.min(0).astype(int), lips.max(0).astype(int) + 1
    box = open_mouth.image[top:bottom, left:right].astype(float)
    assert (box.min(-1) > 110).sum() >= 6


@pytest.mark.render
def test_the_room_belongs_to_the_scene(studio: LatentRenderer) -> None:
    f = studio.factors
    a, b = person(studio), person(studio, replace(REST, yaw_deg=15.0), seed=1)
    b[f.scene] = a[f.scene]
    corners = [studio.render(z).image[:4, [0, 1, 2, -3, -2, -1]] for z in (a, b)]
    np.testing.assert_array_equal(*corners)
    for name in ("background_light", "panel_light", "lamps", "floor_light"):
        other = f.with_values(a, **{name: 2.5 if f.value(a, name) < 1 else -1.5})
        assert change(studio, a, other).max() > 4


@pytest.mark.render
@pytest.mark.parametrize("yaw_deg", [-35.0, -22.0, 22.0, 35.0])
def test_jaw_landmarks_lie_on_the_visible_outline(studio: LatentRenderer, yaw_deg: float) -> None:
    mesh = load_mesh()
    head = studio.head(person(studio))
    posed = pose_head(mesh, head, replace(REST, yaw_deg=yaw_deg))
    face = (mesh.head_share > 0.95) & (mesh.canonical[:, 2] > 0.3) & (mesh.canonical[:, 2] < 1.3)
    face[np.unique(mesh.part_triangles)] = False  # lashes stand out farther
    outside = turn_points(posed.view, posed.vertices[face], mesh.head_share[face])
    seen, _ = project(posed.view, outside)
    side = 1 if yaw_deg > 0 else -1
    far = range(22, 29) if yaw_deg > 0 else range(4, 11)
    for x, y in posed.landmarks().points[list(far)]:
        near = np.abs(seen[:, 1] - y) < 0.012
        assert abs((seen[near, 0] * side).max() - x * side) < 0.02


@pytest.mark.render
def test_the_far_cheek_is_flagged(studio: LatentRenderer) -> None:
    front = studio.render(person(studio)).visible
    right = studio.render(person(studio, replace(REST, yaw_deg=24.0))).visible
    left = studio.render(person(studio, replace(REST, yaw_deg=-24.0))).visible
    assert front[6:27].all()
    assert not right[22:28].any() and right[4:10].all()
    assert not left[5:11].any() and left[23:29].all()


@pytest.mark.render
def test_landmarks_of_the_jaw_do_not_jump(studio: LatentRenderer) -> None:
    head = studio.head(person(studio))
    poses = [replace(REST, yaw_deg=float(yaw)) for yaw in np.arange(-25, 25, 0.5)]
    walk = np.stack([studio.landmarks(head, pose)[:33] for pose in poses])
    assert np.abs(np.diff(walk, axis=0)).max() < 0.012
