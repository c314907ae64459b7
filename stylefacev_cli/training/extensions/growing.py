"""Start a generator from a smaller one: layers of about the same cutoff take over its weights.

A StyleGAN3 layer works on a band of frequencies (cycles per image width), whatever the image's
resolution. A larger network of more layers has nearly the same first layers; what it adds are the
bands above. Cutoffs grow by a constant factor, so the bands of two networks coincide if that is the
same: from 128 to 256 px with one layer more (7 and 8 layers: a factor of 2), or with two.

The layers on top have no counterpart: in the smaller network the last band ends at its resolution.
So that the first steps do not undo the layers that were taken over, the added ones first learn to
make the smaller network's pictures, enlarged.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylegan3.generator import Generator, layer_geometries
from stylefacev_cli.training.engine.optim import Optimisers
from stylefacev_cli.training.losses.image_losses import image_loss

MAX_CUTOFF_RATIO = 1.25  # of two layers that count as the same
FIT_SCALES = 3  # of the L1 to the smaller network's pictures
FIT_DECAY_FROM = 0.3  # progress of that fit at which its learning rates begin to fall, to 0


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
        UsageError: the latents differ, so that the mapping cannot be taken over, or no layer has
            the cutoff of its counterpart.
    """
    ours, theirs = generator.config, smaller.config
    for key in ("z_dim", "w_dim", "c_dim", "mapping_layers", "conv_kernel"):
        if getattr(ours, key) != getattr(theirs, key):
            raise UsageError(
                f"grow_from: its {key} is {getattr(theirs, key)}, here {getattr(ours, key)}"
            )
    pairs = _same_bands(generator, smaller)
    if not pairs:
        raise UsageError(
            f"grow_from: its first_cutoff is {theirs.first_cutoff}, here {ours.first_cutoff}: no "
            "layer could be taken over"
        )
    generator.mapping.load_state_dict(smaller.mapping.state_dict())
    _copy_input(generator, smaller)
    for name, old_name in pairs:
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
        # That of the channels which they share: with the others' it would scale these.
        layer.get_buffer("magnitude_ema").copy_(old.get_buffer("magnitude_ema"))
    return [name for name, _ in pairs]


def _same_bands(generator: Generator, smaller: Generator) -> list[tuple[str, str]]:
    """Names of the first layers of both that have about the same cutoff; ToRGB is none of them."""
    pairs = []
    networks = generator.synthesis, smaller.synthesis
    names = zip(*(network.layer_names[:-1] for network in networks), strict=False)
    bands = zip(*(layer_geometries(network.config) for network in networks), strict=False)
    for pair, (after, old_after) in zip(names, bands, strict=False):
        ratio = after.cutoff / old_after.cutoff
        if not 1 / MAX_CUTOFF_RATIO <= ratio <= MAX_CUTOFF_RATIO:
            break
        pairs.append(pair)
    return pairs


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


def fit_to_smaller(
    generator: Generator,
    smaller: Generator,
    latents: Iterable[Tensor],
    num_batches: int,
    optimisers: Optimisers,
    conv_dtype: torch.dtype | None = None,
) -> float:
    """Let the parameters of some optimisers learn to make a smaller generator's pictures, enlarged.

    Args:
        generator: is changed, in what the optimisers hold.
        smaller: frozen.
        latents: batches z [N, z_dim], at least `num_batches`.
        num_batches: how many to learn from.
        optimisers: of the layers that the smaller one lacks.
        conv_dtype: precision of the convolutions.

    Returns:
        The L1 of the last batch, of images in [−1, 1].
    """
    learning = {id(parameter) for parameter in optimisers.parameters}
    others = [p for p in generator.parameters() if id(p) not in learning and p.requires_grad]
    size_px = generator.config.img_resolution
    last = float("nan")
    for parameter in others:  # the taken layers come first: no gradient is computed for them
        parameter.requires_grad_(False)
    for index, z in zip(range(num_batches), latents, strict=False):
        with torch.no_grad():
            small = smaller(z, conv_dtype=conv_dtype)
            target = F.interpolate(small, size=(size_px, size_px), mode="bicubic")
        progress = index / num_batches
        scale = min(1.0, (1 - progress) / (1 - FIT_DECAY_FROM))
        images = generator(z, conv_dtype=conv_dtype)
        loss = image_loss(images, target, torch.ones_like(target[:, :1]), FIT_SCALES)
        optimisers.learn([{"l1": loss}], 1, scale)
        last = float((images.detach() - target).abs().mean())
    for parameter in others:
        parameter.requires_grad_(True)
    return last
