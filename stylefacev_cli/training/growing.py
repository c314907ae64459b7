"""Start a generator from a smaller one: layers of about the same cutoff take over its weights.

A StyleGAN3 layer works on a band of frequencies (cycles per image width), whatever the image's
resolution. A larger network of more layers has nearly the same first layers; what it adds are the
bands above.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.generator import Generator, layer_geometries

MAX_CUTOFF_RATIO = 1.25  # of two layers that count as the same


@torch.no_grad()
def grow(generator: Generator, smaller: Generator) -> list[str]:
    """Give the first layers of a new generator the weights of a smaller, trained one.

    Channels that the smaller one does not have keep their random weights, but do not feed those
    that it has: these compute what they did.

    Args:
        generator: is changed.
        smaller: has the same latents and fewer or as many channels in the layers that match.

    Returns:
        Names of the layers of `generator` that were taken over.

    Raises:
        UsageError: the latents differ, so that the mapping cannot be taken over.
    """
    ours, theirs = generator.config, smaller.config
    for key in ("z_dim", "w_dim", "c_dim", "mapping_layers", "conv_kernel"):
        if getattr(ours, key) != getattr(theirs, key):
            raise UsageError(
                f"grow_from: its {key} is {getattr(theirs, key)}, here {getattr(ours, key)}"
            )
    generator.mapping.load_state_dict(smaller.mapping.state_dict())
    _copy_input(generator, smaller)
    taken = []
    pairs = zip(layer_geometries(ours)[:-1], layer_geometries(theirs)[:-1], strict=False)
    names = zip(generator.synthesis.layer_names, smaller.synthesis.layer_names, strict=False)
    for (after, old_after), (name, old_name) in zip(pairs, names, strict=False):
        ratio = after.cutoff / old_after.cutoff
        if not 1 / MAX_CUTOFF_RATIO <= ratio <= MAX_CUTOFF_RATIO:
            break
        layer, old = (
            generator.synthesis.get_submodule(name),
            smaller.synthesis.get_submodule(old_name),
        )
        weight, old_weight = layer.get_parameter("weight"), old.get_parameter("weight")
        outputs, inputs = (
            min(a, b) for a, b in zip(weight.shape[:2], old_weight.shape, strict=False)
        )
        weight[:outputs, inputs:] = 0
        weight[:outputs, :inputs] = old_weight[:outputs, :inputs]
        _copy_first(layer.get_parameter("bias"), old.get_parameter("bias"))
        for key in ("affine.weight", "affine.bias"):
            _copy_first(layer.get_parameter(key), old.get_parameter(key))
        taken.append(name)
    return taken


def _copy_input(generator: Generator, smaller: Generator) -> None:
    """Fourier features: of either network, those that both have."""
    ours, theirs = generator.synthesis.input, smaller.synthesis.input
    ours.affine.load_state_dict(theirs.affine.state_dict())
    for key in ("freqs", "phases"):
        _copy_first(ours.get_buffer(key), theirs.get_buffer(key))
    count = min(len(ours.weight), len(theirs.weight))
    scale = (len(ours.weight) / len(theirs.weight)) ** 0.5  # the product is divided by its root
    ours.weight[:count, count:] = 0
    ours.weight[:count, :count] = scale * theirs.weight[:count, :count]


def _copy_first(target: Tensor, source: Tensor) -> None:
    count = min(len(target), len(source))
    target[:count] = source[:count]
