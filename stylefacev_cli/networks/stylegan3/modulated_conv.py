"""Modulated convolution with one weight for all samples.

The definition (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", eq. 1-3)
scales the weights of each sample by its styles, s_i w_oik, and divides by their norm over i and k.
Both factors are constant over the image, so the same result is

    y_o = d_o * sum_i w_oi * (s_i x_i),    d_o = 1 / sqrt(sum_i s_i^2 sum_k w_oik^2)

with one shared weight: scale the planes that come in, convolve, scale the planes that go out.
The last factor is applied by the filtered leaky ReLU, at no cost.

On CPUs two calls differ from the obvious ones, because the libraries behind PyTorch are faster so:
3x3 convolutions get their zero padding beforehand, and 1x1 convolutions are matrix products of
oneDNN instead of the BLAS.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from stylefacev_cli.common.autocast import as_factor, multiplies

EPSILON = 1e-8  # of the original, in the demodulation


def demodulation(weight: torch.Tensor, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales of the planes that replace per-sample weights.

    As in StyleGAN3, weights are first brought to RMS 1 per output channel and styles to RMS 1
    (per sample; the original takes the batch's mean, which the demodulation cancels, but which
    would tie the samples of a batch to each other in the last digits).

    Args:
        weight: [O, I, k, k].
        styles: [N, I].

    Returns:
        in_scale [N, I] and out_scale [N, O].
    """
    energy = weight.square().sum(dim=(2, 3))  # [O, I]
    fan_in = weight[0].numel()
    weight_norm = (energy.sum(dim=1) / fan_in).rsqrt()  # [O]
    in_scale = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
    norm = in_scale.square() @ energy.t() * weight_norm.square()  # [N, O]
    return in_scale, weight_norm * (norm + EPSILON).rsqrt()


def scaled_conv(
    x: torch.Tensor,
    weight: torch.Tensor,
    in_scale: torch.Tensor,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Convolve planes with a shared weight, each scaled by its own factor.

    Padded so that every position that sees a sample of x is in the result. On CPUs in float32 the
    result can be differentiated once, elsewhere any number of times.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k].
        in_scale: [N, I] factors on the planes of x.
        dtype: Precision of the products' factors, None for that of x. Sums are float32, or better.

    Returns:
        [N, O, H + k - 1, W + k - 1] in the precision of x.
    """
    dtype = dtype or x.dtype
    kernel = weight.shape[-1]
    if kernel == 1:
        weights = weight[:, :, 0, 0] * in_scale[:, None, :]  # [N, O, I]
        return mix_channels(as_factor(weights, dtype), as_factor(x, dtype)).to(x.dtype)
    if x.device.type == "cpu" and x.dtype == torch.float32:
        convolved: torch.Tensor = _ScaledConv.apply(x, weight, in_scale, dtype)
        return convolved
    scaled = as_factor(x * in_scale.to(x.dtype)[:, :, None, None], dtype)
    return F.conv2d(scaled, as_factor(weight, dtype), padding=kernel - 1).to(x.dtype)


def mix_channels(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Multiply the channels of x [N, I, H, W] by a matrix: [N, O, H, W].

    The weight is [N, O, I], a matrix for each sample. Differentiable as `scaled_conv` is.
    """
    planes = x.flatten(2)
    if x.device.type == "cpu" and x.dtype != torch.float64:
        y = _MatrixProduct.apply(weight, planes)
    else:
        y = weight @ planes
    mixed: torch.Tensor = y.view(x.shape[0], -1, *x.shape[2:])
    return mixed


class _ScaledConv(torch.autograd.Function):
    """A convolution of float32 planes on a CPU, whose input is scaled and padded in one go."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        in_scale: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        pad = weight.shape[-1] - 1
        n, c, h, w = x.shape
        stored = dtype if multiplies(dtype, x.device) else x.dtype
        padded = x.new_zeros(n, c, h + 2 * pad, w + 2 * pad, dtype=stored)
        torch.mul(x, in_scale[:, :, None, None], out=padded[:, :, pad : pad + h, pad : pad + w])
        padded, weight = as_factor(padded, dtype), as_factor(weight, dtype)
        ctx.dtype = dtype
        ctx.save_for_backward(x, padded, weight, in_scale)
        return F.conv2d(padded, weight).float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, padded, weight, in_scale = ctx.saved_tensors
        grad = as_factor(grad, ctx.dtype).contiguous()
        grad_x = grad_weight = grad_scale = None
        if ctx.needs_input_grad[1]:
            _, grad_weight, _ = _conv_backward(grad, padded, weight, 0, (False, True, False))
            grad_weight = grad_weight.float()
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[2]:
            pad = weight.shape[-1] - 1
            shape_of_x = padded.new_empty(1).expand(x.shape)
            grad_scaled, _, _ = _conv_backward(grad, shape_of_x, weight, pad, (True, False, False))
            grad_scaled = grad_scaled.float()
            if ctx.needs_input_grad[2]:
                grad_scale = torch.linalg.vecdot(grad_scaled.flatten(2), x.flatten(2))
            if ctx.needs_input_grad[0]:
                grad_x = grad_scaled.mul_(in_scale[:, :, None, None])
        return grad_x, grad_weight, grad_scale, None


def _conv_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    pad: int,
    output_mask: tuple[bool, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    gradients: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = (
        torch.ops.aten.convolution_backward(
            grad, x, weight, None, (1, 1), (pad, pad), (1, 1), False, (0, 0), 1, output_mask
        )
    )
    return gradients


class _MatrixProduct(torch.autograd.Function):
    """weights [N, O, I] @ planes [N, I, L] on a CPU."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weights, planes)
        return _each(weights, planes.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weights, planes = ctx.saved_tensors
        grad = grad.contiguous()
        grad_weights = _each(grad, planes) if ctx.needs_input_grad[0] else None
        grad_planes = None
        if ctx.needs_input_grad[1]:
            grad_planes = _each(weights.transpose(1, 2).contiguous(), grad.transpose(1, 2))
        return grad_weights, grad_planes


def _each(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Left [N, A, B] @ right [N, C, B]^T, sample by sample."""
    products = [_product(a, b) for a, b in zip(left, right, strict=True)]
    return products[0][None] if len(products) == 1 else torch.stack(products)


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Left [A, B] @ right [C, B]^T in oneDNN, where PyTorch has it; the BLAS elsewhere."""
    if not HAS_ONEDNN_PRODUCT:
        return left @ right.t()
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return product


HAS_ONEDNN_PRODUCT = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")
