"""Where the picture stands: turned, shifted and zoomed through the generator's Fourier features.

The input of StyleGAN3 takes any affine transform of the plane (Karras et al. 2021, section 3.2,
"Transformed Fourier features"), and its layers carry it to the picture: translations by design,
rotations as far as kernels and filters are the same in all directions (configuration R), zooms as
far as training has seen faces of other sizes. What comes into the picture at a border is drawn as
everything else is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig, matrices


def camera_transforms(rotate_deg: Tensor, shift: Tensor, zoom: Tensor) -> Tensor:
    """What `SynthesisNetwork` takes to draw pictures turned about their centre, zoomed and shifted.

    A point p of the plain picture goes to  zoom · R(rotate) p + shift;  these are the inverses.

    Args:
        rotate_deg: [N] degrees, anti-clockwise.
        shift: [N, 2] to the right and downwards, in widths of the picture.
        zoom: [N] above 0; 2 shows everything twice as large.

    Returns:
        [N, 3, 3] float64, from places in the picture to places in the plain one.
    """
    assert rotate_deg.ndim == 1 and shift.shape == (len(rotate_deg), 2), list(shift.shape)
    assert zoom.shape == rotate_deg.shape and bool((zoom > 0).all()), "a zoom is above 0"
    angle = rotate_deg.double() * (math.pi / 180)
    # Rows count downwards, so an anti-clockwise turn takes (x, y) to (cx + sy, −sx + cy).
    cos, sin = angle.cos() / zoom.double(), angle.sin() / zoom.double()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    back = matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])
    right, down = shift.double().unbind(dim=1)
    return back @ matrices([[one, zero, -right], [zero, one, -down], [zero, zero, one]])


def is_rotation_equivariant(config: GeneratorConfig) -> bool:
    """Tell whether a generator's layers treat all directions alike, as those of R do."""
    return config.conv_kernel == 1 and config.use_radial_filters


def eased(keys: Tensor, share: float) -> Tensor:
    """The value of a course at a share of its time: from key to key, at rest in each of them.

    Args:
        keys: [K, …], evenly spread over the time.
        share: 0 (the first) to 1 (the last).

    Returns:
        […], by the cubic 3s² − 2s³ of the share s of the way between two keys.
    """
    position = min(max(share, 0.0), 1.0) * (len(keys) - 1)
    before = min(int(position), max(len(keys) - 2, 0))
    s = position - before
    after = min(before + 1, len(keys) - 1)
    return torch.lerp(keys[before], keys[after], s * s * (3 - 2 * s))
