"""What a generator has to keep, apart from the numbers of the original."""

from __future__ import annotations

import dataclasses
import platform

import pytest
import torch
from tiny_generators import TINY_R, TINY_T, make

from stylefacev_cli.common.memory import keep_freed_memory
from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig, layer_geometries


@pytest.mark.parametrize("config", [TINY_T, TINY_R], ids=["T", "R"])
def test_shapes_and_independence_of_the_batch(config: GeneratorConfig) -> None:
    generator = make(config)
    z = torch.randn(3, config.z_dim)
    with torch.no_grad():
        ws = generator.mapping(z)
        images = generator.synthesis(ws)
        alone = generator.synthesis(ws[1:2])
        assert torch.equal(generator(z), images)
    assert ws.shape == (3, generator.num_ws, config.w_dim) == (3, 8, 12)
    assert images.shape == (3, 3, 32, 32)
    torch.testing.assert_close(images[1:2], alone, rtol=1e-4, atol=1e-5)


def test_geometry_of_the_released_face_generator() -> None:
    config = GeneratorConfig(channel_base=32768, channel_max=1024)
    sizes = [(g.size, g.channels) for g in layer_geometries(config)]
    assert sizes[:4] == [(36, 1024), (36, 1024), (36, 1024), (52, 1024)]
    assert sizes[-4:] == [(276, 181), (276, 128), (256, 128), (256, 3)]


def test_truncation() -> None:
    generator = make(TINY_T)
    generator.mapping.w_avg.copy_(torch.randn(12))
    z = torch.randn(2, 8)
    ws = generator.mapping(z)
    half = generator.mapping(z, truncation_psi=0.5, truncation_cutoff=3)
    torch.testing.assert_close(half[:, 3:], ws[:, 3:])
    torch.testing.assert_close(half[:, :3], (ws[:, :3] + generator.mapping.w_avg) / 2)
    mean = generator.mapping(z, truncation_psi=0.0)
    torch.testing.assert_close(mean, generator.mapping.w_avg.expand_as(mean))


def test_running_means_move_in_training_only() -> None:
    config = dataclasses.replace(TINY_T, w_avg_beta=0.9, magnitude_ema_beta=0.75)
    generator = make(config)
    z = torch.randn(4, 8)
    first = generator.synthesis.get_submodule(generator.synthesis.layer_names[0])
    with torch.no_grad():
        w = generator.mapping(z)[:, 0]
        features = generator.synthesis.input(w)
        generator(z)
        assert float(first.magnitude_ema) == 1.0 and not generator.mapping.w_avg.any()
        generator(z, update_emas=True)
    torch.testing.assert_close(generator.mapping.w_avg, 0.1 * w.mean(dim=0))
    torch.testing.assert_close(first.magnitude_ema, 0.75 + 0.25 * features.square().mean())


def test_class_labels() -> None:
    generator = make(dataclasses.replace(TINY_T, c_dim=2))
    z = torch.randn(2, 8)
    one, other = torch.eye(2)
    assert not torch.allclose(
        generator.mapping(z, one.expand(2, 2)), generator.mapping(z, other.expand(2, 2))
    )


@pytest.mark.parametrize("config", [TINY_T, TINY_R], ids=["T", "R"])
def test_translation_equivariance(config: GeneratorConfig) -> None:
    """Moving the Fourier features by five pixels moves the image by five pixels."""
    generator = make(config)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(2, config.z_dim))
        images = generator.synthesis(ws)
        generator.synthesis.input.transform[0, 2] = 5 / config.img_resolution
        moved = generator.synthesis(ws)
    expected = images[:, :, 6:-6, 11:-6]
    error = (moved[:, :, 6:-6, 6:-11] - expected).norm() / expected.std() / expected.numel() ** 0.5
    assert error < 0.05


def test_training_step_reaches_every_parameter() -> None:
    for config in (TINY_T, TINY_R):
        generator = make(config)
        generator(torch.randn(2, 8), update_emas=True).square().mean().backward()
        without = [n for n, p in generator.named_parameters() if p.grad is None]
        assert not without
        assert all(p.grad.isfinite().all() for p in generator.parameters() if p.grad is not None)


@pytest.mark.parametrize("config", [TINY_T, TINY_R], ids=["T", "R"])
def test_bfloat16_convolutions(config: GeneratorConfig) -> None:
    generator = make(config)
    z = torch.randn(2, 8)
    with torch.no_grad():
        exact, rough = generator(z), generator(z, conv_dtype=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() < 0.05 * exact.norm()


def test_wrong_shapes_are_refused() -> None:
    generator = make(TINY_T)
    with pytest.raises(AssertionError):
        generator.mapping(torch.randn(2, 9))
    with pytest.raises(AssertionError):
        generator.synthesis(torch.randn(2, 7, 12))


def test_memory_is_kept_where_the_c_library_can() -> None:
    known = platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() == known
    assert keep_freed_memory() == known
