"""Adaptive discriminator augmentation: with little data, the discriminator never sees plain images.

Both real and made images are transformed, each kind of transform with probability p, before the
discriminator looks at them; as p < 1, the generator is still told what plain images are like. p
follows how sure the discriminator is of real images, r = E[sign D(real)]: up above the target, down
below it.

Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), sections
2.2 and 3, appendix B: of its transforms integer translation, isotropic scale, rotation, brightness,
contrast and saturation, and the flip on wish. The geometric ones are one bilinear look-up with
mirrored borders (the paper filters with wavelets); everything is plain indexing and products, so
that it can be differentiated twice, as the R1 penalty needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.errors import UsageError

LUMA = (1 / math.sqrt(3),) * 3  # the axis around which colours are more or less saturated


@dataclass(frozen=True)
class AugmentationConfig:
    """How the probability of the transforms follows the discriminator."""

    target: float = 0.6  # of r
    start: float = 0.0  # p at the beginning
    images_to_full: float = 500_000.0  # images in which p goes from 0 to 1 at the fastest
    every: int = 4  # steps between changes of p

    def __post_init__(self) -> None:
        """Check the values once."""
        if not 0 <= self.start <= 1:
            raise UsageError("augmentation: start is not between 0 and 1")
        if self.every < 1 or self.images_to_full <= 0:
            raise UsageError("augmentation: every and images_to_full must be positive")


@dataclass(frozen=True)
class Transforms:
    """Sizes of the transforms, the paper's by default; 0 switches one off."""

    flip: bool = False  # off: faces are lit and combed from one side
    max_translation: float = 0.125  # in image widths
    scale_octaves: float = 0.2  # standard deviation of the scale's logarithm to base 2
    max_rotation_deg: float = 180.0
    brightness: float = 0.2  # standard deviation, on a scale of 2
    contrast_octaves: float = 0.5
    saturation_octaves: float = 1.0


TRANSFORMS = Transforms()


class AdaptiveAugmentation:
    """Transforms images with probability `p`, and moves p towards its target.

    Attributes:
        p: probability of each transform, in [0, 1].
    """

    def __init__(self, config: AugmentationConfig) -> None:
        self._config = config
        self.p = config.start
        self._sum_of_signs = 0.0
        self._num_images = self._num_steps = 0

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Transform images [N, 3, S, S] in [−1, 1]; each kind of transform with probability p."""
        return augmented(images, self.p, TRANSFORMS, draws)

    def note(self, mean_sign: float, num_images: int) -> None:
        """Take what the discriminator said of real images into account, once a step.

        Args:
            mean_sign: of its logits for all real images of the step, in all processes together.
            num_images: how many those are.
        """
        self._sum_of_signs += round(mean_sign * num_images)  # a whole number, however it was summed
        self._num_images += num_images
        self._num_steps += 1
        if self._num_steps < self._config.every:
            return
        mean_sign = self._sum_of_signs / self._num_images
        step = self._num_images / self._config.images_to_full
        direction = (mean_sign > self._config.target) - (mean_sign < self._config.target)
        self.p = min(max(self.p + direction * step, 0.0), 1.0)
        self._sum_of_signs, self._num_images, self._num_steps = 0.0, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """The probability, and what was noted since it last changed."""
        return {
            "p": self.p,
            "signs": self._sum_of_signs,
            "images": self._num_images,
            "steps": self._num_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.p, self._sum_of_signs = state["p"], state["signs"]
        self._num_images, self._num_steps = state["images"], state["steps"]


@dataclass(frozen=True)
class Draws:
    """The random numbers behind the transforms of a batch; as many, whatever p is."""

    uniform: Tensor  # [4, N] in [−1, 1)
    normal: Tensor  # [4, N]
    chances: Tensor  # [7, N] in [0, 1): a transform is done where p is above

    def of(self, samples: np.ndarray) -> Draws:
        """Those of some samples of the batch."""
        chosen = torch.from_numpy(samples)
        return Draws(self.uniform[:, chosen], self.normal[:, chosen], self.chances[:, chosen])


def random_draws(count: int, random: torch.Generator) -> Draws:
    """Random numbers for a batch of `count` images: those of all processes together."""
    uniform = torch.rand(4, count, generator=random) * 2 - 1
    normal = torch.randn(4, count, generator=random)
    return Draws(uniform, normal, torch.rand(7, count, generator=random))


def augmented(images: Tensor, p: float, sizes: Transforms, draws: Draws) -> Tensor:
    """Transform images at random.

    Args:
        images: [N, 3, S, S] in [−1, 1].
        p: probability of each kind of transform, for each image on its own.
        sizes: of the transforms.
        draws: the random numbers, of as many images.

    Returns:
        [N, 3, S, S]; colours may leave the range.
    """
    count, size = len(images), images.shape[-1]
    uniform, normal = draws.uniform, draws.normal
    flip, shift, scale, turn, bright, contrast, saturate = draws.chances.lt(p)  # [N]: is it done?

    # Geometry: where to look for each pixel, in pixels from the image's centre.
    angle = uniform[0] * math.radians(sizes.max_rotation_deg) * turn
    zoom = torch.exp2(normal[0] * sizes.scale_octaves * scale)
    side = 1 - 2 * (flip & (uniform[1] < 0) & sizes.flip).float()
    offset = (uniform[2:] * sizes.max_translation * size).round() * shift  # [2, N]
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    matrix = torch.stack([cos * side, sin * side, -sin, cos], dim=1).view(count, 2, 2)
    if not torch.equal(matrix, torch.eye(2).expand_as(matrix)) or bool(offset.any()):
        images = looked_up(images, matrix.to(images.device), offset.T.to(images.device))

    # Colour: an affine map of each pixel.
    if not bool((bright | contrast | saturate).any()):
        return images
    add = normal[1] * sizes.brightness * bright
    gain = torch.exp2(normal[2] * sizes.contrast_octaves * contrast)
    chroma = torch.exp2(normal[3] * sizes.saturation_octaves * saturate)
    luma = torch.outer(torch.tensor(LUMA), torch.tensor(LUMA))  # keeps the grey part
    colours = luma + chroma[:, None, None] * (torch.eye(3) - luma)  # [N, 3, 3]
    colours = (gain[:, None, None] * colours).to(images)
    shifted = gain * add  # brightness comes before contrast
    pixels: Tensor = colours @ images.flatten(2) + shifted.to(images)[:, None, None]
    return pixels.view_as(images)


def looked_up(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Images read at other places: bilinear, borders mirrored; differentiable twice.

    Args:
        images: [N, C, S, S].
        matrix: [N, 2, 2], from a pixel's place (x, y) to where it is read, around the centre.
        offset: [N, 2], px, subtracted first: an image moves right and down by it.

    Returns:
        [N, C, S, S].
    """
    count, channels, size = images.shape[0], images.shape[1], images.shape[-1]
    axis = torch.arange(size, device=images.device, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()])[None] - offset[:, :, None]  # [N, 2, S·S]
    places = matrix @ places + (size - 1) / 2
    low = places.floor()
    share = places - low  # of the neighbour to the right, or below
    flat = images.flatten(2)
    result = torch.zeros_like(flat)
    for right in (0, 1):
        for down in (0, 1):
            column = mirrored(low[:, 0].long() + right, size)
            row = mirrored(low[:, 1].long() + down, size)
            weight = (share[:, 0] if right else 1 - share[:, 0]) * (
                share[:, 1] if down else 1 - share[:, 1]
            )
            index = (row * size + column)[:, None].expand(count, channels, -1)
            result = result + flat.gather(2, index) * weight[:, None].to(flat)
    return result.view_as(images)


def mirrored(index: Tensor, size: int) -> Tensor:
    """Indices outside of 0 … size − 1 folded back at the border's pixel."""
    if size == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * size - 2)
    return torch.minimum(folded, 2 * size - 2 - folded)
