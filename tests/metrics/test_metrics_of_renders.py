"""Rendered faces whose answer is known, seen through the genuine networks."""

from __future__ import annotations

import numpy as np
import pytest

from stylefacev_cli.errors import MissingWeightsError
from stylefacev_cli.faces.dataset import RenderSettings, render_clip, sample_latents
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.metrics.face_networks import FaceNetwork, face_network
from stylefacev_cli.metrics.fvd import Clip, frozen, shuffled
from stylefacev_cli.metrics.identity import measure_identity, other_people
from stylefacev_cli.metrics.key_point_tracks import key_point_track
from stylefacev_cli.metrics.motion import Motion, measure_motion
from stylefacev_cli.weights.bundle import load_bundle

pytestmark = pytest.mark.render
FPS, NUM_FRAMES, HALF = 25.0, 16, 8


@pytest.fixture(scope="module")
def clips(studio: LatentRenderer) -> list[Clip]:
    """Two people who talk."""
    settings = RenderSettings(
        num_identities=2, num_frames=NUM_FRAMES, size_px=64, seed=1, look="procedural"
    )
    return [render_clip(studio, sample_latents(settings, number))[0] for number in (0, 1)]


@pytest.fixture(scope="module")
def faces() -> FaceNetwork:
    try:
        return face_network("dlib-face")
    except MissingWeightsError as error:
        pytest.skip(f"dlib's network cannot be had: {error}")


def motion_of(clip: Clip) -> Motion:
    detector = load_bundle("default-64").networks.landmarks
    assert detector is not None
    return measure_motion(key_point_track(detector, clip), FPS)


def test_a_frozen_video_has_the_highest_identity_and_no_motion(
    clips: list[Clip], faces: FaceNetwork
) -> None:
    still = np.ascontiguousarray(frozen(clips[0]))
    identity, motion = measure_identity(faces.embed(still)), motion_of(still)
    assert identity.mean_to_first == pytest.approx(1, abs=1e-6)
    assert identity.neighbours == pytest.approx(1, abs=1e-6)
    assert identity.acd < 1e-3
    assert max(vars(motion).values()) < 1e-12
    assert measure_identity(faces.embed(clips[0])).mean_to_first < 0.9999


def test_a_shuffled_video_jitters(clips: list[Clip]) -> None:
    as_it_is, mixed = motion_of(clips[0]), motion_of(shuffled(clips[0]))
    assert as_it_is.speed > 0 and mixed.jitter > 2 * as_it_is.jitter
    assert mixed.range == pytest.approx(as_it_is.range, rel=1e-4)


def test_a_swap_half_way_is_the_largest_step_of_the_curve(
    clips: list[Clip], faces: FaceNetwork
) -> None:
    swapped = np.concatenate([clips[0][:HALF], clips[1][HALF:]])
    embeddings = faces.embed(swapped)
    found = measure_identity(embeddings)
    drops = 1 - np.array(found.to_previous)  # the first is that of frame 1 from frame 0
    assert drops.argmax() == HALF - 1
    assert drops[HALF - 1] > 3 * np.delete(drops, HALF - 1).max()
    before, after = np.split(np.array(found.to_first), [HALF - 1])
    assert before.min() > after.max()
    others = other_people([embeddings[0], embeddings[-1]], ["one", "two"])
    assert others is not None and others.num_pairs == 1
    kept = others.kept(found.last_to_first)
    assert kept is not None and kept < 0.5
