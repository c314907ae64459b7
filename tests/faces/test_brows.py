"""Brows and lashes of the photographic look, and the landmarks on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from drawn_surface import surface_distance
from scipy.ndimage import distance_transform_edt

from stylefacev_cli.faces import brows, lashes
from stylefacev_cli.faces.cards import MAX_VERTICES, NUM_TRIANGLES, make_cards
from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.faces.head import Head, build_head
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.looks import LOOKS
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.parameters import HAIR_STYLES, Identity, Pose
from stylefacev_cli.faces.posed_head import pose_head
from stylefacev_cli.faces.readback import camera_distance
from stylefacev_cli.faces.renderer import FaceFrame, FaceRenderer

pytestmark = [pytest.mark.render, pytest.mark.usefixtures("look")]

BROWS = slice(33, 51)
ENDS = [0, 13]  # of the brows' landmarks: the outer ends
SIZE = 256
POSES = [
    Pose(),
    Pose(brows=0.7, smile=0.5),
    Pose(brows=-0.6, squint=0.4),
    Pose(yaw_deg=25.0, pitch_deg=-8.0, roll_deg=6.0),
    Pose(yaw_deg=-20.0, pitch_deg=12.0, jaw=0.4),
]


@pytest.fixture(scope="module")
def renderer(studio: LatentRenderer) -> FaceRenderer:
    return FaceRenderer(load_mesh(), SIZE)


def somebody(seed: int = 0) -> Identity:
    """A person whose forehead is bare."""
    factors = FaceFactors()
    identity = factors.identity_of(factors.sample(np.random.default_rng(seed)))
    return replace(
        identity,
        fringe_dm=0.0,
        hair_length_dm=-0.5,
        glasses=0.0,
        hat=0,
        hair_style=HAIR_STYLES.index("shaved"),
        skin_tone=0.2,
        hair_color=(0.02, 0.02, 0.02),
    )


def without_brows(head: Head) -> Head:
    """The same head with an empty picture on the brows' cards."""
    assert head.cards is not None
    places = head.cards.places.copy()
    places[places[:, 2] == 0, :2] = 0.0
    return replace(head, cards=replace(head.cards, places=places))


def render(renderer: FaceRenderer, head: Head, pose: Pose) -> FaceFrame:
    factors = FaceFactors()
    scene = factors.scene_of(np.zeros(256, np.float32))
    return renderer.render(head, scene, pose)


@pytest.mark.parametrize("style", range(len(brows.STYLES)))
def test_landmarks_lie_on_the_edges_of_drawn_brows(
    renderer: FaceRenderer, monkeypatch: pytest.MonkeyPatch, style: int
) -> None:
    monkeypatch.setattr(brows, "brow_style", lambda _: style)
    for pose in POSES:
        head = build_head(load_mesh(), somebody(style))
        frame = render(renderer, head, pose)
        bare = render(renderer, without_brows(head), pose)
        drawn = np.abs(frame.image.astype(int) - bare.image.astype(int)).max(-1).astype(float)
        solid = drawn > 0.25 * np.percentile(drawn[drawn > 8], 90)
        points = frame.landmarks[BROWS] * SIZE
        column, row = np.clip(points.astype(int), 0, SIZE - 1).T
        np.testing.assert_array_equal(frame.landmarks, bare.landmarks)
        # On the brows, and not deep within.
        outside = distance_transform_edt(~solid)[row, column]
        if abs(pose.yaw_deg) >= 20:  # the far brow's end lies on the outline, seen from the side
            outside[ENDS] = 0
        assert outside.max() <= 1.5 and outside.mean() <= 0.4
        assert distance_transform_edt(solid)[row, column].max() <= 2.5
        # All but the last hairs that are drawn lies between them.
        rows, columns = np.nonzero(solid)
        low, high = points.min(0) - 2, points.max(0) + 2
        inside = (rows > low[1]) & (rows < high[1]) & (columns > low[0]) & (columns < high[0])
        assert inside.mean() > 0.97


def test_brows_hide_no_landmarks(renderer: FaceRenderer) -> None:
    head = build_head(load_mesh(), somebody(3))
    for pose in POSES:
        frame = render(renderer, head, pose)
        bare = render(renderer, without_brows(head), pose)
        np.testing.assert_array_equal(frame.visible, bare.visible)
    assert render(renderer, head, Pose()).visible[BROWS].all()
    turned = render(renderer, head, Pose(yaw_deg=80.0)).visible[BROWS]
    assert turned[:9].all() != turned[9:].all()  # the far brow is hidden


def test_landmarks_lie_on_the_surface_of_the_depth_buffer(renderer: FaceRenderer) -> None:
    for style, pose in enumerate(POSES):
        head = build_head(load_mesh(), somebody(style))
        render(renderer, head, pose)
        side = SIZE * renderer.supersampling
        posed = pose_head(load_mesh(), head, pose)
        surface, seen = surface_distance(renderer, posed.view), posed.landmarks()
        column, row = (seen.points[BROWS] * side).astype(int).T
        own = camera_distance(seen.depth[BROWS], posed.view)
        near = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]  # at an outline, a pixel is mixed
        gaps = np.abs(np.array([surface[row + y, column + x] for y, x in near]) - own)
        if abs(pose.yaw_deg) >= 20:
            gaps[:, ENDS] = 0
        assert np.median(gaps[4]) < 0.005 and gaps.min(0).max() < 0.02


def test_brows_follow_the_named_numbers() -> None:
    person = somebody()
    along, edge = np.linspace(0, 1, 9), np.zeros(9)
    middle = brows.brow_outline(person, along, edge)
    raised = brows.brow_outline(replace(person, brow_height_dm=0.05), along, edge)
    np.testing.assert_allclose(raised[:, 1] - middle[:, 1], 0.05 - person.brow_height_dm, atol=1e-9)
    slanted = replace(person, brow_slant_dm=person.brow_slant_dm + 0.02)
    fall = middle[:, 1] - brows.brow_outline(slanted, along, edge)[:, 1]
    assert fall[0] == pytest.approx(0.02, rel=0.05) and fall[-1] == pytest.approx(0.0)
    style = brows.brow_style(person)
    thick = replace(person, brow_thickness_dm=person.brow_thickness_dm + 0.0005)
    assert brows.brow_style(thick) == style
    upper, lower = (
        [brows.brow_outline(who, along, edge + side)[:, 1] for who in (person, thick)]
        for side in (1.0, -1.0)
    )
    assert ((upper[1] - lower[1]) > (upper[0] - lower[0])).all()
    assert (upper[0] > lower[0]).all()


def test_every_style_is_somebodys() -> None:
    factors = FaceFactors()
    people = [factors.identity_of(factors.sample(np.random.default_rng(i))) for i in range(400)]
    assert min(Counter(brows.brow_style(p) for p in people).values()) > 20
    assert len({lashes.lash_style(p) for p in people}) >= 3


def test_brows_are_darker_than_the_skin_under_light_hair() -> None:
    light = replace(somebody(), hair_color=(0.4, 0.35, 0.3), skin_tone=0.9)
    assert max(brows.brow_color(light)) < 0.5 * 0.12


@pytest.mark.parametrize("style", range(len(lashes.STYLES)))
def test_lashes_grow_from_the_lids(monkeypatch: pytest.MonkeyPatch, style: int) -> None:
    monkeypatch.setattr(lashes, "lash_style", lambda _: style)
    cards = make_cards(somebody())
    assert len(cards.places) <= MAX_VERTICES and len(cards.triangles) == NUM_TRIANGLES
    assert cards.triangles.max() == len(cards.places) - 1
    canonical = load_mesh().canonical
    short, long = (cards.lash_style.fit(canonical, length) for length in (0.3, 0.9))
    assert np.isfinite(cards.vertices(canonical)).all()
    moved = np.linalg.norm(long - short, axis=1)
    assert (moved < 1e-6).sum() >= 32 and 0.01 < moved.max() < 0.15
    upper = short[~cards.lash_style.lower]
    assert upper[:, 1].mean() > short[cards.lash_style.lower][:, 1].mean()


def test_both_looks_take_turns_in_one_renderer(renderer: FaceRenderer) -> None:
    heads = [build_head(load_mesh(), somebody(), look) for look in LOOKS]
    first = [render(renderer, head, Pose()) for head in heads]
    again = [render(renderer, head, Pose()) for head in heads]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
    fresh = render(FaceRenderer(load_mesh(), SIZE), heads[0], Pose())
    np.testing.assert_array_equal(fresh.image, first[0].image)
    assert (first[0].image != first[1].image).any()
