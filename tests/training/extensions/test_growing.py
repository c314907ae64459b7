"""A generator starts from a smaller one: what it takes over, and that its pictures stay."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from discs import draw_frames, enlarged, tiny_architecture, write_discs
from torch import Tensor

from stylefacev_cli.cli.app import run
from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig, layer_geometries
from stylefacev_cli.training.artifacts import generator_of
from stylefacev_cli.training.engine.optim import Schedule
from stylefacev_cli.training.extensions.growing import MAX_CUTOFF_RATIO, grow
from stylefacev_cli.training.stages.generator import GeneratorStage
from stylefacev_cli.training.stages.generator_settings import GeneratorStageConfig

TINY = Path(__file__).parents[3] / "examples" / "tiny.yaml"
SMALL = tiny_architecture()  # 16 px, 4 layers
LARGE = replace(SMALL, img_resolution=32, num_layers=5)


def made(config: GeneratorConfig, seed: int = 0) -> Generator:
    """A generator whose pictures differ, and whose running magnitudes are not all 1."""
    torch.manual_seed(seed)
    generator = Generator(config).requires_grad_(False)
    synthesis = generator.synthesis
    for index, name in enumerate(synthesis.layer_names):
        synthesis.get_submodule(name).get_buffer("magnitude_ema").fill_(0.6 + 0.1 * index)
    synthesis.get_submodule(synthesis.layer_names[-1]).get_parameter("weight").mul_(2)
    return generator


def latents(count: int = 6) -> Tensor:
    return torch.randn(count, SMALL.z_dim, generator=torch.Generator().manual_seed(5))


def outputs(generator: Generator, z: Tensor) -> list[Tensor]:
    """What each layer gives."""
    found: list[Tensor] = []
    synthesis = generator.synthesis
    layers = [synthesis.get_submodule(name) for name in synthesis.layer_names]
    hooks = [one.register_forward_hook(lambda _, __, y: found.append(y)) for one in layers]
    with torch.no_grad():
        generator(z)
    for hook in hooks:
        hook.remove()
    return found


def test_bands_of_the_default_models_coincide() -> None:
    """128 px of 7 layers and 256 px of 8: the layers that hold nearly all weights are the same."""

    def bands(size_px: int, num_layers: int) -> list[tuple[float, ...]]:
        config = GeneratorConfig(
            img_resolution=size_px, num_layers=num_layers,
            channel_base=4096, channel_max=384, margin_size=4, filter_size=4,
        )  # fmt: skip
        return [tuple(map(float, astuple(band))) for band in layer_geometries(config)]

    small, large = bands(128, 7), bands(256, 8)
    assert np.allclose(large[:5], small[:5])  # channels, size, sampling rate, cutoff, half width
    assert np.allclose([band[3] for band in large], [2, 4, 8, 16, 32, 64, 128, 128, 128])
    assert large[5][0] == small[5][0] and large[5][3] == pytest.approx(small[5][3])
    # With as many layers at both sizes the bands part at the fourth.
    assert large[3][3] / bands(128, 8)[3][3] > MAX_CUTOFF_RATIO


@pytest.mark.parametrize("channel_max", [16, 24])
@pytest.mark.parametrize("conv_kernel", [1, 3])
def test_taken_layers_compute_what_they_did(channel_max: int, conv_kernel: int) -> None:
    small = made(replace(SMALL, conv_kernel=conv_kernel))
    config = replace(LARGE, conv_kernel=conv_kernel, channel_base=512, channel_max=channel_max)
    large = made(config, seed=1)
    taken = grow(large, small)
    assert taken == large.synthesis.layer_names[:3]
    z = latents()
    torch.testing.assert_close(large.mapping(z)[:, 0], small.mapping(z)[:, 0])
    alike = [
        a.sampling_rate == b.sampling_rate
        for a, b in zip(
            layer_geometries(large.config)[:3], layer_geometries(small.config)[:3], strict=True
        )
    ]
    assert alike == [True, True, False]  # the last one takes its input to a higher rate
    for found, wanted in zip(outputs(large, z)[:2], outputs(small, z)[:2], strict=True):
        assert found.shape[1] == channel_max  # those that the smaller one lacks feed nobody
        torch.testing.assert_close(found[:, : wanted.shape[1]], wanted, atol=2e-5, rtol=1e-4)
    finer, coarse = outputs(large, z)[2], outputs(small, z)[2]
    size = SMALL.img_resolution
    inner = coarse[:, :, 2:-2, 2:-2], finer[:, : coarse.shape[1], 2:-2, 2:-2]
    assert inner[0].shape[-1] == size and inner[1].shape[-1] == 2 * size
    low = F.avg_pool2d(inner[1], 2)  # not quite the low-pass of the smaller one: about the same
    assert (low - inner[0]).std() < 0.35 * inner[0].std()


def test_a_grown_stage_begins_with_the_pictures_of_the_smaller_one() -> None:
    frames, small = draw_frames(20, 2), made(SMALL)
    frames = enlarged(frames)
    z = latents()
    with torch.no_grad():
        wanted = small(z)

    def error(grow_images: int) -> float:
        config = GeneratorStageConfig(
            LARGE, grow_images=grow_images, muon_lr=0.1, schedule=Schedule(final=1e-6)
        )
        stage = GeneratorStage(config, frames, seed=1, smaller=small)
        stage.step(0, 1.0)  # of hardly any learning rate itself
        with torch.no_grad():
            found = F.avg_pool2d(stage.networks["ema"](z), 2)
        return float((found - wanted).std() / wanted.std())

    untouched, fitted = error(0), error(2400)
    assert fitted < 0.35 < 0.8 < untouched


def test_what_does_not_fit_is_refused() -> None:
    small = made(SMALL)
    for change in ({"z_dim": 20}, {"w_dim": 8}, {"mapping_layers": 3}, {"conv_kernel": 1}):
        large = Generator(replace(LARGE, **change))
        before = {key: value.clone() for key, value in large.state_dict().items()}
        with pytest.raises(UsageError, match=f"grow_from: its {next(iter(change))} is"):
            grow(large, small)
        assert all(torch.equal(value, before[key]) for key, value in large.state_dict().items())
    with pytest.raises(UsageError, match=r"first_cutoff is 2\.0, here 4\.0: no layer"):
        grow(Generator(replace(LARGE, first_cutoff=4.0, first_stopband=8.0)), small)
    with pytest.raises(UsageError, match="grow_images"):
        GeneratorStageConfig(LARGE, grow_images=-1)


def test_grow_from_a_run_and_go_on_without_it(
    clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["train", "generator", "--config", str(TINY), "--set", "generator.num_images=32"]
    start, grown = tmp_path / "start", tmp_path / "grown"
    assert run([*base, "--data", str(clip_folder), "--out", str(start)]) == 0
    data = write_discs(enlarged(draw_frames(5, 24)), tmp_path / "larger")
    larger = [
        *base,
        *("--data", str(data), "--out", str(grown), "--set", "resolution=32"),
        *("--set", "generator.architecture.img_resolution=32", "--set", "finish=null"),
        *("--set", "generator.architecture.num_layers=5", "--set", "generator.grow_images=16"),
        *("--set", "appearance.architecture.num_ws=7"),
    ]
    grow_from = ("--set", f"generator.grow_from={start}")
    assert run([*larger, *grow_from, "--until-images", "8"]) == 0
    fresh = generator_of(str(start)).mapping.state_dict()["fc0.weight"]
    taken = generator_of(str(grown)).mapping.state_dict()["fc0.weight"]
    random = Generator(LARGE).mapping.state_dict()["fc0.weight"]
    assert (taken - fresh).norm() < 0.3 * (random - fresh).norm()
    start.rename(tmp_path / "gone")  # what has grown has no more need of it
    assert run([*larger, *grow_from]) == 0
    assert "resumed from step 1" in capsys.readouterr().err
    assert run([*larger, *grow_from, "--out", str(tmp_path / "other")]) == 3
    assert "no such model folder" in capsys.readouterr().err
