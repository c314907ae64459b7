"""The generator gives the numbers of the original one."""

from __future__ import annotations

from dataclasses import fields

import conformance_vectors
import pytest
import torch
import torch.nn.functional as F
from conformance_vectors import Vectors, relative_error

from stylefacev_cli.networks.generator import Generator, GeneratorConfig

pytestmark = pytest.mark.conformance


def generator_config(original: dict) -> GeneratorConfig:
    """Our config from the constructor arguments of the original."""
    own = dict(original)
    mapping = own.pop("mapping_kwargs", {})
    if "num_layers" in mapping:
        own["mapping_layers"] = mapping["num_layers"]
    own.pop("num_fp16_res", None)
    assert set(own) <= {field.name for field in fields(GeneratorConfig)}, own
    return GeneratorConfig(**own)


def filled_generator(vectors: Vectors) -> Generator:
    return vectors.fill(Generator(generator_config(vectors.manifest["config"])))


@pytest.mark.parametrize("name", conformance_vectors.names("stylegan3"))
def test_generator_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    generator = filled_generator(vectors).requires_grad_(False)
    generator.synthesis.input.transform.copy_(vectors.tensor("transform"))
    assert generator.synthesis.layer_names == vectors.manifest["layer_names"]

    for key in (key for key in vectors.arrays if key.startswith("filter/")):
        buffer = generator.synthesis.get_buffer(key.removeprefix("filter/"))
        assert relative_error(buffer, vectors[key]) < 1e-5, key

    z = vectors.value(f"{name}/z", (vectors.manifest["n"], generator.config.z_dim))
    cutoff = int(vectors["truncation_cutoff"])
    ws = generator.mapping(
        z,
        truncation_psi=float(vectors["truncation_psi"]),
        truncation_cutoff=None if cutoff < 0 else cutoff,
    )
    assert relative_error(ws, vectors["ws"]) < 1e-5

    ws = vectors.tensor("ws").requires_grad_("grad_ws" in vectors)
    image = generator.synthesis(ws)
    if "image" in vectors:
        assert relative_error(image, vectors["image"]) < 1e-4
    else:
        pool = image.shape[-1] // vectors["image_pooled"].shape[-1]
        assert relative_error(F.avg_pool2d(image, pool), vectors["image_pooled"]) < 1e-4
        mean_std = torch.stack([image.mean(), image.std()])
        assert relative_error(mean_std, vectors["image_mean_std"]) < 1e-4

    if "grad_ws" in vectors:
        weights = vectors.value(f"{name}/g", image.shape)
        (grad,) = torch.autograd.grad((image * weights).sum(), ws)
        assert relative_error(grad, vectors["grad_ws"]) < 1e-4
