from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from persistence_pickles import EasyDict, persistent, snapshot_bytes

from stylefacev_cli.errors import DataError, IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import (
    DiscriminatorConfig,
    ImageDiscriminator,
)
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.extensions.augmentation import AugmentationConfig
from stylefacev_cli.training.stages.generator import GeneratorStage
from stylefacev_cli.training.stages.generator_settings import GeneratorStageConfig


def radial(config: GeneratorConfig) -> GeneratorConfig:
    """The R configuration of the same size."""
    return replace(config, conv_kernel=1, use_radial_filters=True)


def run(stage: GeneratorStage, start: int, end: int) -> list[dict[str, float]]:
    return [stage.step(index, index / 1000) for index in range(start, end)]


def flat(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in flat(value)]
    return [tensor for value in state for tensor in flat(value)] if isinstance(state, list) else []


@pytest.mark.parametrize("is_radial", [False, True])
def test_paired_learns(stills: Frames, tiny_generator: GeneratorConfig, is_radial: bool) -> None:
    architecture = radial(tiny_generator) if is_radial else tiny_generator
    config = GeneratorStageConfig(architecture, num_images=400, num_factors=10)
    stage = GeneratorStage(config, stills, seed=1)
    found = run(stage, 0, 36)
    first, last = found[0]["l1"], sum(step["l1"] for step in found[-5:]) / 5
    assert last < 0.6 * first
    fillers = stage.generator.mapping.get_submodule("fc0").get_parameter("weight")[:, 10:]
    assert torch.all(fillers == 0)
    assert stage.generator.mapping.w_avg.abs().sum() > 0
    numbers = stage.validate()
    assert numbers["face_psnr"] > 8 and 0 < numbers["ssim"] <= 1
    assert stage.sample_grid().shape == (4 * 16, 12 * 16, 3)


def test_magnitudes_start_at_those_of_a_batch(
    stills: Frames, tiny_generator: GeneratorConfig
) -> None:
    stage = GeneratorStage(GeneratorStageConfig(tiny_generator), stills, seed=1)
    stage._set_magnitudes(stills.factor_batch(stills.rows(held_out=False)[:8]))
    images = stage.generator(stills.factor_batch(stills.rows(held_out=False)[:8]))
    magnitudes = [
        layer.get_buffer("magnitude_ema").item()
        for layer in stage.generator.synthesis.children()
        if hasattr(layer, "magnitude_ema")
    ]
    assert len(set(magnitudes)) > 3 and images.abs().mean() < 2


@pytest.mark.parametrize("is_radial", [False, True])
@pytest.mark.parametrize("paired_weight", [0.0, 1.0])
def test_adversarial_trains_both_players(
    stills: Frames, tiny_generator: GeneratorConfig, is_radial: bool, paired_weight: float
) -> None:
    config = GeneratorStageConfig(
        radial(tiny_generator) if is_radial else tiny_generator,
        objective="adversarial",
        paired_weight=paired_weight,
        discriminator=DiscriminatorConfig(img_resolution=16, channel_base=64),
        muon_lr=0.0,
        adam_lr=2e-3,
        r1_every=4,
    )
    stage = GeneratorStage(config, stills, seed=1)
    before = {key: p.detach().clone() for key, p in stage.generator.named_parameters()}
    found = run(stage, 0, 16)
    moved = [k for k, p in stage.generator.named_parameters() if not torch.equal(before[k], p)]
    assert len(moved) == len(before)
    assert sum(step["d"] for step in found[-6:]) < sum(step["d"] for step in found[:6])
    assert "r1" in found[4] and "r1" not in found[5]
    assert ("l1" in found[0]) == (paired_weight > 0)


@pytest.mark.parametrize("objective", ["paired", "adversarial"])
def test_resume_is_exact(stills: Frames, tiny_generator: GeneratorConfig, objective: str) -> None:
    config = GeneratorStageConfig(
        tiny_generator,
        objective=objective,
        discriminator=DiscriminatorConfig(img_resolution=16, channel_base=64),
    )
    whole = GeneratorStage(config, stills, seed=1)
    run(whole, 0, 8)
    first = GeneratorStage(config, stills, seed=1)
    run(first, 0, 4)
    second = GeneratorStage(config, stills, seed=2)  # other starting weights; all is overwritten
    second._seed = 1
    second.load_state_dict(first.state_dict())
    second._sampler._seed = 1
    second._sampler.load_state_dict(first._sampler.state_dict())
    run(second, 4, 8)
    a, b = flat(whole.state_dict()), flat(second.state_dict())
    assert len(a) == len(b) > 50
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_augmentation_resumes_exactly_and_p_rises(
    clips: Frames, tiny_generator: GeneratorConfig
) -> None:
    config = GeneratorStageConfig(
        tiny_generator,
        objective="adversarial",
        paired_weight=0.0,
        batch_size=4,
        discriminator=DiscriminatorConfig(img_resolution=16, channel_base=64),
        augmentation=AugmentationConfig(start=0.5, target=-0.9, images_to_full=100, every=3),
        video_share=1.0,
        r1_every=3,
    )

    def make() -> GeneratorStage:
        return GeneratorStage(config, clips, seed=1)

    whole, first, second = make(), make(), make()
    found = run(whole, 0, 8)
    assert found[0]["p"] == 0.5 and found[-1]["p"] == pytest.approx(0.74)
    run(first, 0, 4)
    second.load_state_dict(first.state_dict())
    run(second, 4, 8)
    a, b = flat(whole.state_dict()), flat(second.state_dict())
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert (
        whole.state_dict()["others"]["augmentation"]
        == (second.state_dict()["others"]["augmentation"])
    )
    plain = GeneratorStage(replace(config, augmentation=None), clips, seed=1).state_dict()
    with pytest.raises(
        UsageError, match="asks for augmentation, of which the checkpoints know nothing"
    ):
        make().load_state_dict(plain)


def test_pretrained_discriminator_starts_a_stage(
    clips: Frames, tiny_generator: GeneratorConfig, tmp_path: Path
) -> None:
    trained = ImageDiscriminator(DiscriminatorConfig(img_resolution=16, channel_base=64))
    content = {
        "G": None,
        "D": persistent(trained, EasyDict(channel_base=64), class_name="Discriminator"),
        "G_ema": None,
    }
    path = tmp_path / "snapshot.pkl"
    path.write_bytes(snapshot_bytes(content))
    config = GeneratorStageConfig(
        tiny_generator,
        objective="adversarial",
        paired_weight=0.0,
        discriminator=trained.config,
        discriminator_from=str(path),
    )
    stage = GeneratorStage(config, clips, seed=1)
    assert stage.discriminator is not None
    for name, tensor in stage.discriminator.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name]), name
    assert all(p.requires_grad for p in stage.discriminator.parameters())

    wide = DiscriminatorConfig(img_resolution=16, channel_base=128)
    with pytest.raises(IntegrityError, match=r"section discriminator: .*\[.*not"):
        GeneratorStage(replace(config, discriminator=wide), clips, seed=1)
    with pytest.raises(MissingWeightsError, match="no such file of a discriminator: nowhere.pkl"):
        GeneratorStage(replace(config, discriminator_from="nowhere.pkl"), clips, seed=1)
    path.write_bytes(snapshot_bytes({"G_ema": content["D"]}))
    with pytest.raises(IntegrityError, match="it holds no D"):
        GeneratorStage(config, clips, seed=1)
    with pytest.raises(UsageError, match="of the adversarial objective"):
        GeneratorStageConfig(tiny_generator, discriminator_from=str(path))


def test_hair_can_weigh_more(stills: Frames, tiny_generator: GeneratorConfig) -> None:
    hair = np.zeros((len(stills.images), 4, 4), np.uint8)
    hair[:, :1] = 255
    frames = replace(stills, hair=hair)

    def first_loss(frames: Frames, weight: float) -> float:
        config = GeneratorStageConfig(tiny_generator, hair_weight=weight)
        return GeneratorStage(config, frames, seed=1).step(0, 0.0)["l1"]

    plain = first_loss(stills, 1.0)
    assert first_loss(frames, 1.0) == plain == first_loss(stills, 9.0)
    assert first_loss(frames, 9.0) != plain


def test_bad_batch_changes_nothing(stills: Frames, tiny_generator: GeneratorConfig) -> None:
    stage = GeneratorStage(GeneratorStageConfig(tiny_generator), stills, seed=1)
    run(stage, 0, 2)
    before = [tensor.clone() for tensor in flat(stage.state_dict()["networks"])]
    broken = stills.factors.copy()
    stills.factors[:] = float("nan")
    try:
        found = stage.step(2, 0.1)
    finally:
        stills.factors[:] = broken
    assert found["total"] != found["total"]
    after = flat(stage.state_dict()["networks"])
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_mismatches_are_told(stills: Frames, tiny_generator: GeneratorConfig) -> None:
    with pytest.raises(DataError, match="12 factors a frame, the generator takes 20"):
        wide = replace(tiny_generator, z_dim=20)
        GeneratorStage(GeneratorStageConfig(wide), stills, seed=1)
    state = GeneratorStage(GeneratorStageConfig(tiny_generator), stills, seed=1).state_dict()
    other = GeneratorStageConfig(replace(tiny_generator, channel_max=8))
    with pytest.raises(UsageError, match="architecture"):
        GeneratorStage(other, stills, seed=1).load_state_dict(state)
