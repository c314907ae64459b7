"""Labels of the photographic look, in every style of hair."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from drawn_surface import surface_distance

from stylefacev_cli.faces.hair_cards import STYLES, fit_hair, hair_style, scalp_cover
from stylefacev_cli.faces.head import Head, build_head
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.parameters import HAIR_STYLES, Pose
from stylefacev_cli.faces.posed_head import pose_head
from stylefacev_cli.faces.readback import camera_distance
from stylefacev_cli.faces.renderer import HAIR_BLOCK_PX

pytestmark = pytest.mark.render

SIZE = 256
EYES, MOUTH, NOSE_TIP = slice(60, 76), slice(76, 96), 54
POSES = [
    Pose(head_fraction=0.7, smile=0.3, yaw_deg=yaw, pitch_deg=pitch)
    for yaw, pitch in ((0.0, 0.0), (-35.0, 0.0), (35.0, 5.0), (0.0, 20.0), (10.0, -20.0))
]


@pytest.fixture(scope="module")
def large(photographic_studio: LatentRenderer) -> LatentRenderer:
    return LatentRenderer(size_px=SIZE, supersampling=2)


def dressed(
    studio: LatentRenderer, style: str, seed: int = 0, **changes: object
) -> tuple[np.ndarray, Head]:
    """A latent and the head of its person, in a style of hair."""
    z = studio.factors.sample(np.random.default_rng(seed))
    identity = studio.factors.identity_of(z)
    changes = {"hat": 0, "glasses": 0.0, "hair_style": HAIR_STYLES.index(style), **changes}
    return z, build_head(load_mesh(), replace(identity, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_visible_landmarks_lie_on_what_is_drawn(large: LatentRenderer, style: str) -> None:
    """A visible landmark is within half a pixel of a place where the surface is as far as it.

    The jaw's landmarks lie on the outline, where the surface falls away: another test has them.
    """
    z, head = dressed(large, style, seed=HAIR_STYLES.index(style))
    scene = large.factors.scene_of(z)
    side = SIZE * 2
    for pose in POSES:
        frame = large._renderer.render(head, scene, pose)
        posed = pose_head(load_mesh(), head, pose)
        seen = posed.landmarks()
        surface = surface_distance(large._renderer, posed.view)
        own = camera_distance(seen.depth, posed.view)
        assert frame.visible[NOSE_TIP]
        inner = frame.visible & (np.arange(98) >= 33)
        assert inner.sum() > 25
        for k in np.flatnonzero(inner):
            x, y = seen.points[k] * side
            rows, columns = np.mgrid[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
            rows, columns = rows.clip(0, side - 1), columns.clip(0, side - 1)
            # From the landmark to the nearest edge of a sample that shows its depth.
            gap_x = np.maximum(np.abs(columns + 0.5 - x) - 0.5, 0)
            gap_y = np.maximum(np.abs(rows + 0.5 - y) - 0.5, 0)
            near = np.abs(surface[rows, columns] - own[k]) < 0.1
            assert near.any(), f"landmark {k} of {style}, {pose}"
            assert np.hypot(gap_x, gap_y)[near].min() / 2 <= 0.5, f"landmark {k} of {style}"


@pytest.mark.parametrize("style", STYLES)
def test_eyes_nose_and_mouth_are_not_covered(large: LatentRenderer, style: str) -> None:
    z, head = dressed(large, style, seed=20)
    frame = large._renderer.render(head, large.factors.scene_of(z), replace(POSES[0], smile=0.1))
    assert frame.visible[EYES].all() and frame.visible[NOSE_TIP] and frame.visible[MOUTH].all()


@pytest.mark.parametrize("style", [name for name in HAIR_STYLES if name != "shaved"])
def test_the_label_of_hair_is_where_its_colour_shows(large: LatentRenderer, style: str) -> None:
    pictures = []
    for color in ((0.02, 0.015, 0.012), (0.42, 0.33, 0.2)):
        z, head = dressed(large, style, seed=4, hair_color=color)
        pictures.append(large._renderer.render(head, large.factors.scene_of(z), POSES[0]))
    np.testing.assert_array_equal(pictures[0].hair, pictures[1].hair)
    change = np.abs(pictures[1].image.astype(int) - pictures[0].image).max(-1)
    blocks = change.reshape(SIZE // HAIR_BLOCK_PX, HAIR_BLOCK_PX, -1, HAIR_BLOCK_PX).mean((1, 3))
    assert pictures[0].hair.shape == blocks.shape and (pictures[0].hair > 250).sum() > 60
    assert (blocks[pictures[0].hair > 250] > 12).mean() > 0.97
    # What changes beside it are soft edges, brows and the scalp: little, and never a whole area.
    assert (blocks[pictures[0].hair == 0] > 12).mean() < 0.04


def test_a_shaved_head_has_no_hair(large: LatentRenderer) -> None:
    z, head = dressed(large, "shaved")
    assert not large._renderer.render(head, large.factors.scene_of(z), POSES[0]).hair.any()


@pytest.mark.parametrize("hat", [1, 2])
def test_hats_leave_the_face_free(large: LatentRenderer, hat: int) -> None:
    for style in ("long01", "afro01", "shells", "short02"):
        z, bare = dressed(large, style, seed=7)
        _, worn = dressed(large, style, seed=7, hat=hat)
        scene = large.factors.scene_of(z)
        before, after = (large._renderer.render(head, scene, POSES[0]) for head in (bare, worn))
        assert after.visible[EYES].all() and after.visible[MOUTH].all()
        np.testing.assert_array_equal(before.landmarks, after.landmarks)
        eyes_row = int(after.landmarks[EYES, 1].min() * SIZE) // HAIR_BLOCK_PX
        covered = int(after.hair[:eyes_row].sum()), int(before.hair[:eyes_row].sum())
        assert covered[0] < 0.75 * covered[1]  # what is inside the hat is not drawn


def test_hair_of_a_style_differs_continuously(large: LatentRenderer) -> None:
    _, head = dressed(large, "long01")
    identity = head.identity
    for name, step in (("hair_volume_dm", 0.002), ("hair_length_dm", 0.01), ("hair_curl", 0.01)):
        before = fit_hair("long01", identity, head.vertices).vertices
        moved = replace(identity, **{name: getattr(identity, name) + step})  # type: ignore[arg-type]
        after = fit_hair("long01", moved, head.vertices).vertices
        change = np.abs(after[:, :3] - before[:, :3]).max()
        assert 0 < change < 0.1


@pytest.mark.parametrize("style", STYLES)
def test_styles_are_prepared_soundly(large: LatentRenderer, style: str) -> None:
    prepared = hair_style(style)
    for name in ("lift", "press", "drop", "narrow", "wave", "radial", "attributes"):
        assert np.isfinite(getattr(prepared, name)).all(), name
    np.testing.assert_allclose(np.linalg.norm(prepared.attributes[:, 4:], axis=1), 1, atol=1e-3)
    assert prepared.triangles.max() < len(prepared.attributes)
    cover = scalp_cover(style)
    assert 0 <= cover.min() and cover.max() <= 1 and cover.mean() > 0.1


def test_frames_do_not_depend_on_what_was_drawn_before(large: LatentRenderer) -> None:
    latents = [large.factors.sample(np.random.default_rng(seed)) for seed in range(12)]
    first = [large.render(z).image for z in latents]
    for i, j in product((0, 5, 11), (3, 8)):
        large.render(latents[j])
        np.testing.assert_array_equal(large.render(latents[i]).image, first[i])
