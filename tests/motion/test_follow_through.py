"""Follow-through of made-up faces whose movements are known."""

import numpy as np
import pytest

from stylefacev_cli.motion.face_signals import SIGNAL_NAMES, face_signals
from stylefacev_cli.motion.follow_through import follow_through, signal_jitter
from stylefacev_cli.motion.head_frame import head_frames
from tests.support.mesh_faces import expression, posed, rotation_of

FRAMES = 60


def clip(size: float = 1.0, *, amount: float = 1.0, place: float = 0.0) -> np.ndarray:
    """A face [60, 478, 3] that turns, talks, smiles, blinks, and lifts brows and eyes' aim."""
    time = np.arange(FRAMES) / 25
    waves = [amount * (0.5 - 0.5 * np.cos(rate * time)) for rate in (3, 5, 7, 9, 11)]
    mouth, smile, brows, gaze, turn = waves
    shapes = np.stack([
        expression(mouth=0.3 * m, smile=0.2 * s, brows=0.1 * b, gaze=0.05 * g, lids=1 - 0.5 * m)
        for m, s, b, g in zip(mouth, smile, brows, gaze, strict=True)
    ])  # fmt: skip
    angles = np.stack([10 * turn, 5 * smile, 4 * brows], 1)
    places = np.repeat(np.array([[place, 0, 0]]), FRAMES, 0) * time[:, None]
    return posed(rotation_of(angles), np.full(FRAMES, size), places, shapes)


def test_a_face_follows_itself_wherever_it_is() -> None:
    one = follow_through(clip(), clip(3.0, place=50.0))
    assert one.correlation[:8] == pytest.approx(np.ones(8), abs=1e-6)  # no gaze up or down here
    assert one.gain[:8] == pytest.approx(np.ones(8), abs=1e-6)


def test_half_the_movement_is_half_the_gain() -> None:
    one = follow_through(clip(), clip(amount=0.5))
    gain = dict(zip(SIGNAL_NAMES, one.gain, strict=True))
    for name in ("yaw", "pitch", "roll", "mouth", "smile", "brows", "gaze_x"):
        assert gain[name] == pytest.approx(0.5, abs=0.03), name


def test_what_stands_still_is_not_clear() -> None:
    rng = np.random.default_rng(1)
    trembling = np.repeat(expression()[None], FRAMES, 0) + 1e-3 * rng.standard_normal((60, 478, 3))
    one = follow_through(trembling, clip())
    assert not one.is_clear.any() and np.abs(one.correlation).max() < 0.6


def test_jitter_is_that_of_white_noise() -> None:
    noise = 0.3 * np.random.default_rng(2).standard_normal((4000, 1))
    slow = np.sin(np.arange(4000) / 100)[:, None]
    assert signal_jitter(noise + slow)[0] == pytest.approx(0.3, rel=0.06)


def test_signals_have_the_signs_that_they_are_told_by() -> None:
    names = list(SIGNAL_NAMES)
    rest, moved = face_signals(
        head_frames(
            np.stack([expression(), expression(mouth=0.2, smile=0.1, brows=0.1, gaze=0.03)])
        )
    )
    for name in ("mouth", "smile", "brows", "gaze_x"):
        assert moved[names.index(name)] > rest[names.index(name)] + 0.01, name
