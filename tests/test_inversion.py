"""Inversion: nearer than the encoder, and the person that is found stays so in every pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.inversion import (
    InversionSettings,
    invert,
    person_of,
    placement_transform,
)
from stylefacev_cli.pipeline import Model, as_pictures, load_model
from stylefacev_cli.weights.latents import Latent

FEW = InversionSettings(steps=25)


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Model:
    return load_model(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def default() -> Model:
    return load_model(device="cpu")


def error(a: np.ndarray, b: torch.Tensor) -> float:
    return float(np.square(a.astype(float) - as_pictures(b)[0]).mean())


def test_what_is_found_is_what_the_person_draws(tiny: Model) -> None:
    photo = tiny.first_frame(7)
    found = invert(tiny, photo, InversionSettings(steps=40, tune_steps=10), None)
    latent = found.latent
    assert latent.model == tiny.manifest.sha256
    assert error(found.refined, photo) < error(found.encoded, photo)
    person = person_of(tiny, latent)
    assert np.array_equal(next(person.play([person.first_pose])), found.refined)
    # ws of the file are those that draw it; the residual is theirs beyond the encoder's.
    again = person.model.recompose(person.appearance, person.first_pose)
    assert np.allclose(again, latent.ws, atol=1e-5)
    start = tiny.recompose(person.appearance, person.first_pose)
    assert np.allclose(latent.ws - latent.residual, start, atol=1e-5)
    assert not latent.residual[:, 0].any() and latent.residual[:, 1:].all()
    assert latent.placement.any() and latent.tune


def test_the_residual_is_there_in_every_pose(tiny: Model) -> None:
    found = invert(tiny, tiny.first_frame(5), FEW, None).latent
    person = person_of(tiny, found)
    poses = tiny.usual_poses[:3]
    apart = person.model.recompose(person.appearance, poses) - tiny.recompose(
        person.appearance, poses
    )
    assert np.allclose(apart, found.residual, atol=1e-5)


def test_the_model_stays_as_it_was(tiny: Model) -> None:
    before = [tensor.clone() for tensor in tiny.networks.generator.state_dict().values()]
    bias = tiny.networks.appearance.fc_a.bias.clone()  # type: ignore[union-attr]
    found = invert(tiny, tiny.first_frame(5), InversionSettings(steps=3, tune_steps=3), None)
    person = person_of(tiny, found.latent)
    after = tiny.networks.generator.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(bias, tiny.networks.appearance.fc_a.bias)  # type: ignore[union-attr]
    mine = person.model.networks.generator.mapping.w_avg
    assert mine.data_ptr() == tiny.networks.generator.mapping.w_avg.data_ptr()  # shared


def test_no_steps_is_the_encoder_alone(tiny: Model) -> None:
    found = invert(tiny, tiny.first_frame(5), InversionSettings(steps=0), None)
    assert np.array_equal(found.encoded, found.refined)
    assert not found.latent.residual.any() and not found.latent.placement.any()
    assert not found.latent.tune


def test_same_photo_same_latent_and_steps_are_told(tiny: Model) -> None:
    photo, told = tiny.first_frame(6), []
    settings = InversionSettings(steps=4, tune_steps=2)
    one = invert(tiny, photo, settings, None, told.append).latent
    other = invert(tiny, photo, settings, None).latent
    assert np.array_equal(one.ws, other.ws) and np.array_equal(one.placement, other.placement)
    assert told == ["ws"] * 4 + ["generator"] * 2


def test_the_prior_holds_ws_back(tiny: Model) -> None:
    photo = tiny.first_frame(7)
    free, held = (
        invert(tiny, photo, InversionSettings(steps=25, prior_weight=weight), None).latent
        for weight in (0.0, 30.0)
    )
    assert np.square(held.residual).mean() < 0.3 * np.square(free.residual).mean()


def test_placements() -> None:
    def places(placement: list[float], *points: tuple[float, float]) -> list[list[float]]:
        matrix = placement_transform(torch.tensor(placement, dtype=torch.float64))
        return [[round(float(c), 6) for c in (matrix @ torch.tensor([x, y, 1.0]).double())[:2]]
                for x, y in points]  # fmt: skip

    assert places([0, 0, 0, 0], (0.3, 0.4)) == [[0.3, 0.4]]
    # What is shown at a place comes from elsewhere in the plain image.
    assert places([0, 0.1, -0.2, 0], (0.3, 0.4)) == [[0.2, 0.6]]
    assert places([0, 0, 0, float(np.log(2))], (0.3, 0.4)) == [[0.15, 0.2]]
    # Anti-clockwise by 90°, rows counting down: what is at the top comes from the right.
    assert places([np.pi / 2, 0, 0, 0], (0.0, -0.4)) == [[0.4, 0.0]]


def test_latents_of_other_generators_are_refused(tiny: Model) -> None:
    found = invert(tiny, tiny.first_frame(5), InversionSettings(steps=0), None).latent
    name = tiny.networks.generator.synthesis.layer_names[0]
    small = (np.zeros((2, 1), np.float32), np.zeros((1, 2), np.float32))
    for tune, told in (({"L99": small}, "L99"), ({name: small}, "another size")):
        parts = {**vars(found), "tune": tune}
        with pytest.raises(IntegrityError, match=told):
            person_of(tiny, Latent(**parts))
    with pytest.raises(UsageError, match="tune_rank"):
        InversionSettings(tune_rank=65)


def test_a_photo_elsewhere_is_placed(default: Model) -> None:
    """A face moved by an eighth, right and down: the placement follows a part of the way.

    The rest is in the ws, since the model has seen faces at many places.
    """
    face = default.first_frame(3)
    side = face.shape[-1]
    by = side // 8
    photo = F.pad(face, (by, 0, by, 0), mode="replicate")[..., :side, :side]
    settings = InversionSettings(steps=30)
    found = invert(default, photo, settings, None)
    fixed = invert(default, photo, InversionSettings(steps=30, placement_weight=1e4), None)
    assert error(found.refined, photo) < 0.7 * error(fixed.refined, photo)
    assert sum(found.latent.placement[1:3]) > 0.02


def test_default_model_comes_nearer_and_moves(default: Model) -> None:
    photo = default.first_frame(11)
    found = invert(default, photo, FEW, None)
    assert error(found.refined, photo) < 0.5 * error(found.encoded, photo)
    person = person_of(default, found.latent)
    poses = list(default.motion(person.first_pose, 1, 30))[::6]
    frames = np.stack(list(person.play(poses, 1)))  # as found: batches of others round otherwise
    encoder = np.stack(list(default.play(person.appearance, poses, 8)))
    # The first frame is the photo; later ones move as the encoder's alone do, and differ from them.
    assert error(frames[0], photo) == error(found.refined, photo)
    moved = [np.abs(f - f[:1]).mean() for f in (frames.astype(float), encoder.astype(float))]
    assert 0.7 < moved[0] / moved[1] < 1.4
    assert np.abs(frames.astype(float) - encoder).mean() > 1
