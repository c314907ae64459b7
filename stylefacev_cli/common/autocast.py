"""The precision of matrix products and convolutions where less than float32 is requested.

PyTorch runs bfloat16 convolutions on every CPU, but on those without AVX-512 five to thirty times
slower than float32, and oneDNN's matrix products refuse. There factors are rounded all the same, so
that results are about those of other machines, and multiplied in float32.
"""

from __future__ import annotations

import torch


def _multiplies_bfloat16() -> bool:
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch._C._has_mkldnn and supported is not None and bool(supported())


HAS_BFLOAT16_PRODUCTS = _multiplies_bfloat16()
"""Whether this CPU's library multiplies bfloat16 well."""


def multiplies(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether products in a precision are computed as such on a device."""
    return dtype != torch.bfloat16 or device.type != "cpu" or HAS_BFLOAT16_PRODUCTS


def as_factor(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Values of any shape, rounded to a precision, in one that their device multiplies well."""
    rounded = values.to(dtype)
    return rounded if multiplies(dtype, values.device) else rounded.float()
