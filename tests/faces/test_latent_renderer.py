from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stylefacev_cli.faces.factors import CANONICAL, UNALIGNED, WIDE
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.parameters import Pose

pytestmark = pytest.mark.render

NOSE_TIP, CHIN, UPPER_LIP, LOWER_LIP = 54, 16, 90, 94
RIGHT_PUPIL, LEFT_PUPIL = 96, 97
UPPER_LIDS, LOWER_LIDS = [61, 62, 63, 69, 70, 71], [67, 66, 65, 75, 74, 73]


def posed(studio: LatentRenderer, pose: Pose, seed: int = 0) -> np.ndarray:
    factors = studio.factors
    z = factors.sample(np.random.default_rng(seed))
    return factors.with_poses(z, factors.pose_factors(pose)[None])[0]


def test_same_latent_same_bytes(studio: LatentRenderer) -> None:
    rng = np.random.default_rng(4)
    a, b = (studio.factors.sample(rng) for _ in range(2))
    first = studio.render(a)
    studio.render(b)
    again = studio.render(a)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert first.image.shape == (64, 64, 3) and first.image.dtype == np.uint8


def test_studios_of_two_sizes_can_take_turns(studio: LatentRenderer) -> None:
    rng = np.random.default_rng(4)
    a, b = (studio.factors.sample(rng) for _ in range(2))
    first = studio.render(a)
    other = LatentRenderer(size_px=32, look="procedural")
    small = other.render(b)
    np.testing.assert_array_equal(studio.render(a).image, first.image)
    np.testing.assert_array_equal(other.render(b).image, small.image)


def test_pictures_show_somebody_well_lit(studio: LatentRenderer) -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        frame = studio.render(studio.factors.sample(rng))
        low, high = np.floor(frame.landmarks[:33].min(0) * 64), frame.landmarks[:33].max(0) * 64
        face = frame.image[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])]
        assert 35 < face.mean() < 235
        assert face.std() > 12


def test_filler_does_not_matter(studio: LatentRenderer) -> None:
    z = studio.factors.sample(np.random.default_rng(6))
    other = z.copy()
    other[studio.factors.filler] = np.roll(z[studio.factors.filler], 7)
    np.testing.assert_array_equal(studio.render(z).image, studio.render(other).image)


def test_a_in_the_pose_of_a_is_a(studio: LatentRenderer) -> None:
    rng = np.random.default_rng(7)
    a, b = (studio.factors.sample(rng) for _ in range(2))
    same = studio.render(studio.factors.combine(identity_from=a, pose_from=a))
    np.testing.assert_array_equal(same.image, studio.render(a).image)
    mixed = studio.render(studio.factors.combine(identity_from=a, pose_from=b))
    assert np.array_equal(mixed.expressions, studio.render(b).expressions)
    assert not np.array_equal(mixed.image, same.image)


def test_landmarks_are_inside_the_frame(studio: LatentRenderer) -> None:
    rng = np.random.default_rng(8)
    for factors in (type(studio.factors)(framing) for framing in (CANONICAL, UNALIGNED, WIDE)):
        latents = [factors.sample(rng) for _ in range(60)]
        drawn = [studio.landmarks(studio.head(z), factors.pose_of(z)) for z in latents]
        inside = [landmarks.min() > 0 and landmarks.max() < 1 for landmarks in drawn]
        assert np.mean(inside) > 0.95  # a long face with an open mouth may lose its chin
        assert np.min(drawn) > -0.1 and np.max(drawn) < 1.1


def test_landmarks_follow_mouth_eyes_and_head(studio: LatentRenderer) -> None:
    rest = Pose(head_fraction=0.84)

    def landmarks(pose: Pose) -> np.ndarray:
        return studio.render(posed(studio, pose)).landmarks

    neutral = landmarks(rest)
    opened = landmarks(replace(rest, jaw=0.6))
    gap = neutral[LOWER_LIP, 1] - neutral[UPPER_LIP, 1]
    assert -0.01 < gap < 0.02
    assert opened[LOWER_LIP, 1] - opened[UPPER_LIP, 1] > gap + 0.03
    assert opened[CHIN, 1] > neutral[CHIN, 1] + 0.008

    turned = landmarks(replace(rest, yaw_deg=20.0))
    assert turned[NOSE_TIP, 0] > neutral[NOSE_TIP, 0] + 0.05
    raised = landmarks(replace(rest, pitch_deg=10.0))
    assert raised[NOSE_TIP, 1] < neutral[NOSE_TIP, 1] - 0.02
    shifted = landmarks(replace(rest, shift_x=0.03, shift_y=0.02))
    np.testing.assert_allclose(shifted - neutral, [[0.03, -0.02]] * 98, atol=1e-5)

    def openings(pose: Pose) -> np.ndarray:
        points = landmarks(pose)[:, 1]
        return points[LOWER_LIDS] - points[UPPER_LIDS]

    assert (openings(rest)[[1, 4]] > 0.015).all()
    assert (openings(replace(rest, blink=0.5))[[1, 4]] > 0.003).all()
    np.testing.assert_allclose(openings(replace(rest, blink=1.0)), 0, atol=1e-3)
    looking = landmarks(replace(rest, gaze_x_rad=0.3))
    assert (looking[[RIGHT_PUPIL, LEFT_PUPIL], 0] > neutral[[RIGHT_PUPIL, LEFT_PUPIL], 0]).all()
    # WFLW order: the subject's right is the viewer's left.
    assert neutral[RIGHT_PUPIL, 0] < neutral[NOSE_TIP, 0] < neutral[LEFT_PUPIL, 0]
    assert neutral[0, 0] < neutral[32, 0]


def test_the_mouth_in_the_picture_is_where_the_landmarks_say(studio: LatentRenderer) -> None:
    rest = Pose(head_fraction=0.84)
    closed = studio.render(posed(studio, rest))
    opened = studio.render(posed(studio, replace(rest, jaw=0.7)))
    change = np.abs(opened.image.astype(int) - closed.image.astype(int)).sum(-1)
    row, column = np.unravel_index(change.argmax(), change.shape)
    box = opened.landmarks[76:96] * 64
    low, high = box.min(0) - 2, box.max(0) + 2
    assert low[0] < column < high[0] and low[1] < row < high[1]


def test_hidden_landmarks_are_flagged(studio: LatentRenderer) -> None:
    turned = studio.render(posed(studio, Pose(yaw_deg=25.0, head_fraction=0.84), seed=3))
    front = studio.render(posed(studio, Pose(head_fraction=0.84), seed=3))
    assert front.visible[[NOSE_TIP, UPPER_LIP, LOWER_LIP, CHIN]].all()
    assert turned.visible[NOSE_TIP]
    assert turned.visible[:33].sum() <= front.visible[:33].sum()
