"""Writes pickles as StyleGAN3's persistence does, from the description of the format.

A persistent object is pickled as a call of `torch_utils.persistence._reconstruct_persistent_obj`
with one dictionary: type, version, module_src, class_name, state. The state is the `__dict__` of
the module, with `_init_args` and `_init_kwargs` in it. Tensors inside are pickled as torch does it.

    data = snapshot_bytes({"G": …, "G_ema": persistent_generator(generator)})
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

SOURCE = '"""Source of the networks."""\nclass Generator:\n    pass\n'
_HOOKS = (
    "_backward_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)
_OF_MAPPING = {"mapping_layers": "num_layers", "w_avg_beta": "w_avg_beta"}


class EasyDict(dict):
    __module__ = "dnnlib.util"


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("only written, never run")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent:
    """An object that is written as a persistent one."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str = SOURCE) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconstruct_persistent_obj, (self.meta,), None


@contextmanager
def original_modules() -> Iterator[None]:
    """The names of the original modules exist while something is pickled."""
    modules = {name: types.ModuleType(name) for name in ("torch_utils", "dnnlib")}
    modules["torch_utils.persistence"] = types.ModuleType("torch_utils.persistence")
    modules["dnnlib.util"] = types.ModuleType("dnnlib.util")
    vars(modules["torch_utils.persistence"]).update(
        _reconstruct_persistent_obj=_reconstruct_persistent_obj
    )
    vars(modules["dnnlib.util"]).update(EasyDict=EasyDict)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def snapshot_bytes(content: object, protocol: int = 4) -> bytes:
    """The bytes of a snapshot."""
    buffer = io.BytesIO()
    with original_modules():
        pickle.dump(content, buffer, protocol=protocol)
    return buffer.getvalue()


def persistent(
    module: nn.Module,
    kwargs: dict[str, Any],
    source: str = SOURCE,
    class_name: str | None = None,
) -> Persistent:
    """A module and those in it, with what torch keeps in every module."""
    state: dict[str, Any] = {"training": False}
    state.update({hooks: OrderedDict() for hooks in _HOOKS})
    state["_non_persistent_buffers_set"] = set(module._non_persistent_buffers_set)
    state["_parameters"] = OrderedDict(
        (name, parameter.detach().requires_grad_(False))
        for name, parameter in module._parameters.items()
        if parameter is not None
    )
    for name, parameter in state["_parameters"].items():
        state["_parameters"][name] = nn.Parameter(parameter, requires_grad=False)
    state["_buffers"] = OrderedDict(module._buffers)
    state["_modules"] = OrderedDict(
        (name, persistent(child, {}, source))
        for name, child in module._modules.items()
        if child is not None
    )
    # The original keeps arrays and numbers of numpy beside its tensors.
    state["size"] = np.broadcast_to(np.asarray(36), [2])
    state["bandwidth"], state["use_fp16"] = np.float64(2.0), np.bool_(True)
    state["_init_args"] = ()
    state["_init_kwargs"] = kwargs
    return Persistent(class_name or type(module).__name__, state, source)


def generator_kwargs(generator: Any) -> EasyDict:
    """The arguments of the original class, as its training script gives them."""
    settings = asdict(generator.config)
    mapping = EasyDict({theirs: settings.pop(ours) for ours, theirs in _OF_MAPPING.items()})
    return EasyDict(settings, mapping_kwargs=mapping, num_fp16_res=4)


def persistent_generator(generator: Any, source: str = SOURCE) -> Persistent:
    """A generator of ours as the original one is written."""
    return persistent(generator, generator_kwargs(generator), source)


def snapshot_of(generator: Any, *, protocol: int = 4, source: str = SOURCE) -> bytes:
    """A snapshot with three networks, in which only G_ema has the weights of `generator`."""
    other = nn.Sequential(nn.Linear(2, 3), nn.ReLU())  # of torch, and not persistent
    last = torch.nn.Conv2d(2, 2, 1).to(memory_format=torch.channels_last)
    content = {
        "G": persistent(nn.Linear(2, 2), EasyDict(), source),
        "D": Persistent("Discriminator", {"_modules": {"b4": other, "out": last}}, source),
        "G_ema": persistent_generator(generator, source),
        "augment_pipe": None,
        "training_set_kwargs": {"path": "x.zip", "resolution": np.int64(64), "beta": 0.5},
    }
    return snapshot_bytes(content, protocol)
