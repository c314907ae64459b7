"""The whole chain with per-image statistics, beside the authors' way: training mode, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_networks
from torch import Tensor

from stylefacev_cli import load_model
from stylefacev_cli.common.seeding import latent_of_seed, noise_of_seed
from stylefacev_cli.inversion import InversionSettings, invert, person_of
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.pipeline import Model, as_pictures
from stylefacev_cli.weights.bundle import Networks, save_bundle

SEED, NUM_FRAMES = 5, 60


@dataclass(frozen=True)
class Models:
    """The same weights as two models, and the networks themselves."""

    per_image: Model
    running: Model
    networks: Networks


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    networks = tiny_networks()
    appearance = networks.appearance
    assert appearance is not None
    for module in appearance.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 4)
    own = AppearanceRecomposer(replace(appearance.config, normalisation="per_image"))
    own.load_state_dict(appearance.state_dict(), strict=True)
    folder = tmp_path_factory.mktemp("normalisation")
    for name, network in (("per_image", own), ("running", appearance)):
        save_bundle(
            folder / name, replace(networks, appearance=network), name=name.replace("_", "-"),
            fps=15, licence="CC0-1.0", provenance={}, half=False,
        )  # fmt: skip
    loaded = (load_model(folder / name, device="cpu") for name in ("per_image", "running"))
    for network in networks.present().values():
        network.eval()
    return Models(*loaded, networks)


@torch.no_grad()
def plain_frames(networks: Networks) -> Iterator[tuple[Tensor, np.ndarray]]:
    """The ws and the picture of each frame, as the authors make them, with torch's BatchNorm."""
    generator, appearance_net = networks.generator, networks.appearance
    detector, extractor, sampler = networks.landmarks, networks.pose, networks.motion
    assert appearance_net is not None and detector is not None
    assert extractor is not None and sampler is not None
    first = generator.synthesis(generator.mapping(latent_of_seed(SEED, 24))).clamp(-1, 1)
    pose = extractor(detector((first + 1) / 2))  # in evaluation mode, both
    appearance_net.train()
    appearance = appearance_net.encode(first)
    state, noise = sampler.start(pose.flatten(1)), noise_of_seed(SEED, 64)
    while True:
        ws = appearance_net.recompose(appearance, pose)
        yield ws, as_pictures(generator.synthesis(ws).clamp(-1, 1))[0]
        flat, state = sampler.step(state, next(noise))
        pose = flat.view_as(pose)


def test_the_whole_chain_is_that_of_training_mode_with_one_image_at_a_time(models: Models) -> None:
    ws, plain = zip(*islice(plain_frames(models.networks), NUM_FRAMES), strict=True)
    wanted = np.stack(plain).astype(int)
    assert np.abs(wanted[1:] - wanted[:-1]).max() > 20  # it moves
    model, before = models.per_image, list(models.per_image.sample(SEED, NUM_FRAMES, batch=1))
    frames = np.stack(list(model.sample(SEED, NUM_FRAMES, batch=8))).astype(int)
    assert np.abs(frames - np.stack(before)).max() <= 1  # whatever the batch
    assert np.abs(frames - wanted).max() <= 1 and np.abs(frames - wanted).mean() < 0.01
    person = model.person(SEED)
    poses = torch.cat(list(model.motion(person.first_pose, SEED, NUM_FRAMES)))
    torch.testing.assert_close(
        model.recompose(person.appearance, poses), torch.cat(ws), rtol=1e-4, atol=1e-5
    )
    others = np.stack(list(models.running.sample(SEED, NUM_FRAMES, batch=8)))
    assert np.abs(frames - others).mean() > 10
    for key, value in model.networks.present()["appearance"].state_dict().items():
        kept = models.running.networks.present()["appearance"].state_dict()[key]
        assert torch.equal(value, kept), key  # sampling moves no statistics


def test_identities_and_drivers_are_normalised_alike(models: Models) -> None:
    model = models.per_image
    photo = model.first_frame(9)
    found = invert(model, photo, InversionSettings(steps=0), None)
    person = person_of(model, found.latent)
    appearance = models.networks.appearance
    assert appearance is not None
    with torch.no_grad():
        plain = appearance.train().encode(photo)
        ws = appearance.recompose(plain, person.first_pose)
    torch.testing.assert_close(person.appearance, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        person.model.recompose(person.appearance, person.first_pose), ws, rtol=1e-4, atol=1e-5
    )
    driver = torch.cat(list(model.motion(model.person(3).first_pose, 3, 9)))
    whole, single = (
        np.stack(list(model.reenact(person, driver, batch=batch))).astype(int) for batch in (8, 1)
    )
    assert np.abs(whole - single).max() <= 1
    other = models.running
    apart = person_of(other, invert(other, photo, InversionSettings(steps=0), None).latent)
    elsewhere = np.stack(list(other.reenact(apart, driver)))
    assert np.abs(whole - elsewhere).mean() > 10


def test_manifests_say_which(models: Models) -> None:
    assert models.per_image.manifest.normalisation == "per_image"
    assert models.running.manifest.normalisation == "running"
    folders = [model.manifest.folder for model in (models.per_image, models.running)]
    texts = [Path(folder / "bundle.yaml").read_text() for folder in folders]
    assert ["normalisation: per_image" in text for text in texts] == [True, False]
    assert models.per_image.manifest.sha256 != models.running.manifest.sha256
