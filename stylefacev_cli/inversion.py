"""Inversion: the window of a photo → a person that the model can render and move.

    window → appearance a, pose p_0 = E(window) → ws_0 = R(a, p_0)
    ws* = ws_0 + residual, and a placement through the generator's input: optimised
    ws_t = R(a, p_t) + residual                                    (how the person then moves)

Optimisation of ws is Image2StyleGAN's (Abdal et al. 2019), from the encoder's start; a generator
tuned around the pivot ws* is pivotal tuning (Roich et al. 2021), here with a low-rank change of
each layer (Hu et al. 2021, "LoRA"), so that it stays small.

The first of ws holds only the placement, for which four numbers are enough, so that its residual
stays 0.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.networks.stylegan3.input_transform import camera_transforms
from stylefacev_cli.pipeline import Model, Person, as_pictures
from stylefacev_cli.weights.bundle import needed
from stylefacev_cli.weights.latents import MAX_RANK, PLACEMENT, Latent

NetworkT = TypeVar("NetworkT", bound=nn.Module)
Perceptual = Callable[[Tensor, Tensor], Tensor]  # images, targets [1, 3, R, R] → a scalar

_NUM_SPREAD = 2048  # ws whose standard deviation is the unit of the residual
_WARM_UP = 10  # steps until the learning rate is whole
_PLACEMENT_UNITS = 0.1  # rad, widths and logarithm of the zoom, in which steps and prior count


@dataclass(frozen=True)
class InversionSettings:
    """Settings of an inversion."""

    steps: int = 100  # of the optimisation; 0 leaves what the encoder finds
    lr: float = 0.05  # in standard deviations of the generator's own w
    pixel_weight: float = 1.0  # of the mean absolute difference, −1 to 1
    perceptual_weight: float = 20.0
    prior_weight: float = 0.3  # of the mean square residual, in the unit of `lr`
    placement_weight: float = 0.02  # of the mean square placement, in tenths
    tune_steps: int = 0  # of the generator's own weights; 0 leaves them as they are
    tune_lr: float = 0.01
    tune_rank: int = 8  # of the change of each layer

    def __post_init__(self) -> None:
        """Check the values once."""
        limits = {"steps": 10_000, "tune_steps": 10_000, "lr": 1, "tune_lr": 1}
        limits["tune_rank"] = MAX_RANK
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"{name} {getattr(self, name)}: give a number from 0 to {most}")


@dataclass(frozen=True)
class Inversion:
    """The result of an inversion.

    Attributes:
        latent: the person, as it is written to a file.
        encoded: uint8 [R, R, 3], reconstructed by the encoder alone.
        refined: uint8 [R, R, 3], reconstructed from the latent in the photo's pose.
        seconds: that it took.
    """

    latent: Latent
    encoded: NDArray[np.uint8]
    refined: NDArray[np.uint8]
    seconds: float


def invert(
    model: Model,
    window: Tensor,
    settings: InversionSettings,
    perceptual: Perceptual | None,
    advance: Callable[[str], None] = lambda what: None,
) -> Inversion:
    """The person of a photo, by optimising ws from the encoder's estimate.

    Args:
        model: with all networks.
        window: [1, 3, R, R] in [−1, 1], of the model's resolution, cut as its training images are.
        settings: how.
        perceptual: the distance of images that is to become small; None: pixels alone.
        advance: is called after every step.

    Raises:
        MissingWeightsError: the model is partial.
    """
    size = model.manifest.resolution
    assert window.shape == (1, 3, size, size), f"[1, 3, {size}, {size}]: {list(window.shape)}"
    begin_s = time.perf_counter()
    photo = window.to(model.device)
    appearance, pose = (part.clone() for part in model.take_apart(photo))
    start = model.recompose(appearance, pose).clone()  # cloned: it was made without gradients
    residual, placement = _refined(model, photo, start, settings, perceptual, advance)
    tune = _tuned(model, photo, start + residual, placement, settings, perceptual, advance)
    latent = Latent(
        appearance=_as_float32(appearance),
        pose=_as_float32(pose),
        ws=_as_float32(start + residual),
        residual=_as_float32(residual),
        placement=_as_float32(placement),
        model=model.manifest.sha256,
        tune={layer: (_as_float32(up), _as_float32(down)) for layer, (up, down) in tune.items()},
    )
    person = person_of(model, latent)
    again = person.model.recompose(person.appearance, person.first_pose)
    return Inversion(
        latent,
        encoded=as_pictures(model.render(start))[0],
        refined=as_pictures(person.model.render(again))[0],
        seconds=time.perf_counter() - begin_s,
    )


def person_of(model: Model, latent: Latent) -> Person:
    """The person of a latent, with networks of their own, which share what is not changed.

    The residual is a change of the recomposition's last bias, so that it is there in every pose;
    the placement is the transform of the generator's input.

    Raises:
        IntegrityError: the latent tunes layers that the generator does not have.
        MissingWeightsError: the model is partial.
    """
    appearance, pose, residual, placement = (
        torch.from_numpy(values).to(model.device)
        for values in (latent.appearance, latent.pose, latent.residual, latent.placement)
    )
    recomposer = _sharing_copy(needed(model.networks.appearance, "appearance"))
    recomposer.fc_a.bias = _frozen(recomposer.fc_a.bias + residual.flatten())
    generator = _sharing_copy(model.networks.generator)
    entry = generator.synthesis.input
    entry.transform = entry.transform @ placement_transform(placement).to(entry.transform)
    for name, (up, down) in latent.tune.items():
        if name not in generator.synthesis.layer_names:
            raise IntegrityError(f"the latent tunes the layer {name}, which the model has not")
        layer = generator.synthesis.get_submodule(name)
        weight = layer.get_parameter("weight")
        if (len(up), down.shape[1]) != tuple(weight.flatten(1).shape):
            raise IntegrityError(f"the latent's change of the layer {name} has another size")
        layer.weight = _frozen(weight + torch.from_numpy(up @ down).to(weight).view_as(weight))
    networks = replace(model.networks, generator=generator, appearance=recomposer)
    return Person(appearance, pose, replace(model, networks=networks))


def placement_transform(placement: Tensor) -> Tensor:
    """The transform of the generator's input for an image turned, shifted and zoomed.

    Args:
        placement: [4], see `Latent`.

    Returns:
        [3, 3], differentiable.
    """
    turn, zoom = placement[:1].rad2deg(), placement[3:].exp()
    return camera_transforms(turn, placement[None, 1:3], zoom)[0].to(placement)


def _refined(
    model: Model,
    photo: Tensor,
    start: Tensor,
    settings: InversionSettings,
    perceptual: Perceptual | None,
    advance: Callable[[str], None],
) -> tuple[Tensor, Tensor]:
    """The residual [1, num_ws, w_dim] and the placement [4]."""
    synthesis, unit = model.networks.generator.synthesis, _spread(model)
    later = torch.ones_like(start)
    later[:, 0] = 0  # the placement's
    residual = torch.zeros_like(start).requires_grad_()
    placement = start.new_zeros(PLACEMENT).requires_grad_()
    for _ in _descend([residual, placement], settings.lr, settings.steps):
        transform = synthesis.input.transform @ placement_transform(_PLACEMENT_UNITS * placement)
        ws = start + unit * later * residual
        rendered = functional_call(synthesis, {"input.transform": transform}, (ws,))
        loss = _distance(rendered, photo, settings, perceptual)
        loss = loss + settings.prior_weight * (later * residual).square().mean()
        loss = loss + settings.placement_weight * placement.square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        advance("ws")
    return unit * later * residual.detach(), _PLACEMENT_UNITS * placement.detach()


def _tuned(
    model: Model,
    photo: Tensor,
    pivot: Tensor,
    placement: Tensor,
    settings: InversionSettings,
    perceptual: Perceptual | None,
    advance: Callable[[str], None],
) -> dict[str, tuple[Tensor, Tensor]]:
    """The change of each layer's weights, as two factors [out, r] and [r, in]."""
    if settings.tune_steps == 0:
        return {}
    synthesis = model.networks.generator.synthesis
    random = torch.Generator().manual_seed(0)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in synthesis.layer_names:
        rows = synthesis.get_submodule(name).get_parameter("weight").flatten(1)  # [out, in]
        rank = min(settings.tune_rank, *rows.shape)
        down = torch.randn(rank, rows.shape[1], generator=random) / math.sqrt(rank)
        up = rows.new_zeros(len(rows), rank)
        factors[name] = (up.requires_grad_(), down.to(rows).requires_grad_())
    parameters = [factor for pair in factors.values() for factor in pair]
    transform = synthesis.input.transform @ placement_transform(placement)
    for _ in _descend(parameters, settings.tune_lr, settings.tune_steps):
        changed = {"input.transform": transform}
        for name, (up, down) in factors.items():
            weight = synthesis.get_submodule(name).get_parameter("weight")
            changed[f"{name}.weight"] = weight + (up @ down).view_as(weight)
        rendered = functional_call(synthesis, changed, (pivot,))
        _distance(rendered, photo, settings, perceptual).backward()  # type: ignore[no-untyped-call]
        advance("generator")
    return {name: (up.detach(), down.detach()) for name, (up, down) in factors.items()}


def _distance(
    rendered: Tensor, photo: Tensor, settings: InversionSettings, perceptual: Perceptual | None
) -> Tensor:
    loss = settings.pixel_weight * (rendered - photo).abs().mean()
    if perceptual is not None:
        loss = loss + settings.perceptual_weight * perceptual(rendered, photo)
    return loss


def _descend(parameters: list[Tensor], lr: float, steps: int) -> Iterator[int]:
    """Adam steps around a loop body that calls backward; the rate warms up, then a cosine."""
    adam = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99))
    for step in range(steps):
        rising = min(1.0, (step + 1) / _WARM_UP)
        falling = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        adam.param_groups[0]["lr"] = lr * rising * falling
        adam.zero_grad()
        yield step
        adam.step()


def _spread(model: Model) -> Tensor:
    """Standard deviation of each number of w [w_dim] over the generator's own people."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(_NUM_SPREAD, model.networks.generator.config.z_dim, generator=random)
    return model.map(z, 1.0)[:, 0].std(dim=0).clone()


def _sharing_copy(network: NetworkT) -> NetworkT:
    """A copy whose tensors are those of the original, until others are put there."""
    tensors = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


def _as_float32(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()
