from __future__ import annotations

import numpy as np
import pytest

from stylefacev_cli.faces.factors import (
    CANONICAL,
    UNALIGNED,
    WIDE,
    Z_DIM,
    FaceFactors,
    FramingRange,
)
from stylefacev_cli.faces.motion import ornstein_uhlenbeck, sample_motion
from stylefacev_cli.faces.parameters import (
    HAIR_STYLES,
    POSE_NAMES,
    Pose,
    expression_weights,
    flatten,
)


def rms(z: np.ndarray) -> np.ndarray:
    return np.sqrt((z.astype(np.float64) ** 2).mean(-1))


def test_layout_covers_the_latent_once() -> None:
    factors = FaceFactors()
    slices = (factors.identity, factors.scene, factors.pose, factors.filler)
    assert [s.start for s in slices] == [0, *[s.stop for s in slices[:-1]]]
    assert factors.filler.stop == Z_DIM
    assert len(factors.names) == factors.filler.start == len(set(factors.names))


def test_factors_are_read_and_set_by_name() -> None:
    factors = FaceFactors()
    z = factors.sample(np.random.default_rng(3))
    changed = factors.with_values(z, gender=1.5, hat=2.0)
    assert factors.value(changed, "gender") == 1.5 and factors.value(changed, "hat") == 2.0
    assert factors.identity_of(changed).gender > 0.99 and factors.identity_of(changed).hat
    assert abs(rms(changed) - 1) < 1e-6
    kept = [name for name in factors.names if name not in ("gender", "hat")]
    assert all(factors.value(changed, name) == factors.value(z, name) for name in kept)
    place = factors.names.index("gender")
    dash = "-" if factors.signs[place] < 0 else ""
    assert factors.columns()[place] == f"{dash}gender"
    with pytest.raises(KeyError):
        factors.value(z, "nothing")


def test_no_seed_decides_who_is_drawn() -> None:
    """The first numbers of numpy's RandomState are no fair draws for small seeds."""
    factors = FaceFactors()
    people = [
        factors.identity_of(np.random.RandomState(seed).randn(Z_DIM).astype(np.float32))
        for seed in range(400)
    ]
    women = [person.gender < 0.5 for person in people]
    assert sum(women[:20]) == 10
    assert 170 < sum(women) < 230
    styles = [HAIR_STYLES[person.hair_style] for person in people]
    assert len(set(styles[:20])) >= 10


def test_styles_of_hair_are_about_equally_frequent_and_go_with_gender() -> None:
    factors, rng = FaceFactors(), np.random.default_rng(5)
    people = [factors.identity_of(factors.sample(rng)) for _ in range(3000)]
    counts = np.bincount([person.hair_style for person in people], minlength=len(HAIR_STYLES))
    shares = dict(zip(HAIR_STYLES, counts / len(people), strict=True))
    cards = [share for name, share in shares.items() if name not in ("shells", "shaved")]
    assert 0.06 < min(cards) and max(cards) < 0.12
    long = HAIR_STYLES.index("long01")
    assert np.mean([p.gender < 0.5 for p in people if p.hair_style == long]) > 0.85
    assert 0.02 < np.mean([p.hat > 0 for p in people]) < 0.07


def test_the_boundary_of_a_style_is_straight() -> None:
    """Between two latents of one style all latents have that style: its region is convex."""
    factors, rng = FaceFactors(), np.random.default_rng(6)
    by_style: dict[int, list[np.ndarray]] = {}
    for _ in range(600):
        z = factors.sample(rng)
        by_style.setdefault(factors.identity_of(z).hair_style, []).append(z)
    for style, people in by_style.items():
        for a, b in zip(people[:-1], people[1:], strict=True):
            between = (a + b) / 2
            assert factors.identity_of(between).hair_style == style


def test_latents_have_rms_one_and_share_the_person() -> None:
    factors, rng = FaceFactors(), np.random.default_rng(0)
    z = factors.sample(rng)
    others = [factors.vary(z, rng) for _ in range(3)]
    for other in others:
        assert abs(rms(other) - 1) < 1e-6
        np.testing.assert_array_equal(other[factors.identity], z[factors.identity])
        assert factors.identity_of(other) == factors.identity_of(z)
        assert factors.scene_of(other) != factors.scene_of(z)


def test_combine_takes_what_it_says() -> None:
    factors, rng = FaceFactors(), np.random.default_rng(1)
    a, b, c = (factors.sample(rng) for _ in range(3))
    mixed = factors.combine(identity_from=a, pose_from=b, scene_from=c)
    assert factors.identity_of(mixed) == factors.identity_of(a)
    assert factors.pose_of(mixed) == factors.pose_of(b)
    assert factors.scene_of(mixed) == factors.scene_of(c)
    assert abs(rms(mixed) - 1) < 1e-6
    same = factors.combine(identity_from=a, pose_from=a)
    np.testing.assert_allclose(same, a, atol=1e-6)
    np.testing.assert_array_equal(same[: factors.filler.start], a[: factors.filler.start])


@pytest.mark.parametrize("framing", [CANONICAL, UNALIGNED, WIDE])
def test_pose_factors_invert_pose_of(framing: FramingRange) -> None:
    factors, rng = FaceFactors(framing), np.random.default_rng(2)
    z = factors.sample(rng)
    wanted = Pose(
        jaw=0.4,
        smile=0.5,
        pucker=-0.3,
        lips=0.2,
        press=0.1,
        brows=0.3,
        blink=0.6,
        squint=-0.2,
        gaze_x_rad=0.1,
        gaze_y_rad=-0.05,
        yaw_deg=-12.0,
        pitch_deg=6.0,
        roll_deg=2.0,
        shift_x=0.02,
        shift_y=-0.01,
        head_fraction=framing.head_fraction * 1.04,
    )
    found = factors.pose_of(factors.with_poses(z, factors.pose_factors(wanted)[None])[0])
    np.testing.assert_allclose(flatten(found)[1], flatten(wanted)[1], atol=1e-5)


def test_motion_is_lively_and_stays_in_the_ranges() -> None:
    factors = FaceFactors()
    motion = np.concatenate(
        [sample_motion(factors, np.random.default_rng(seed), 100) for seed in range(12)]
    )
    assert motion.shape == (1200, len(POSE_NAMES)) and motion.dtype == np.float32
    at = factors.names[factors.pose].index
    assert np.abs(motion).max() < 4.5
    assert motion[:, at("yaw_deg")].std() > 0.6
    assert motion[:, at("jaw")].std() > 0.4
    closed = motion[:, at("blink")] * factors.signs[factors.pose][at("blink")] > 1.5
    assert closed.mean() > 0.02


def test_motion_of_another_rate_is_as_fast_in_seconds() -> None:
    factors = FaceFactors()
    fast = sample_motion(factors, np.random.default_rng(3), 50, fps=25)
    slow = sample_motion(factors, np.random.default_rng(3), 25, fps=12.5)
    np.testing.assert_allclose(slow[:20], fast[::2][:20], atol=1e-4)


def test_ornstein_uhlenbeck_has_its_deviation() -> None:
    walk = ornstein_uhlenbeck(np.random.default_rng(0), 200_000, 0.5, 3.0)
    assert abs(walk.std() - 3.0) < 0.15
    assert abs(np.corrcoef(walk[:-100], walk[100:])[0, 1]) < 0.05


def test_expressions_stay_in_range() -> None:
    names = np.array(["jawOpen", "mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft", "tongueOut"])
    weights = expression_weights(Pose(jaw=0.5, smile=2.0, blink=1.0), names)
    np.testing.assert_allclose(weights, [0.5, 1.1, 1.1, 1.0, 0.0])


def test_an_average_latent_is_a_plain_person() -> None:
    identity = FaceFactors().identity_of(np.zeros(Z_DIM, np.float32))
    assert identity.gender == pytest.approx(0.5)
    assert identity.ancestry == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert 0.45 < identity.age < 0.7
    assert all(0 <= channel <= 1 for channel in identity.hair_color + identity.shirt_color)
