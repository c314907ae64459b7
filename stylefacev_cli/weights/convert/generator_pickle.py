"""A generator as a StyleGAN3 `.pkl`: weights and arguments, and none of NVIDIA's source.

StyleGAN3's persistence runs the source text that stands in a pickle. The one written here is the
few lines of `_SOURCE`, ours: they make the class of the StyleGAN3 code that reads the file, with
these arguments and these weights. Our own reader takes the same file and runs nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from stylefacev_cli.weights.untrusted.reader import PERSISTENCE_VERSION, RECONSTRUCTION

_PROTOCOL = 3
_SOURCE = '''\
"""Made by stylefacev: networks of the StyleGAN3 code that reads this (its folder `training`)."""
import torch
from training import networks_stylegan3


class Generator(networks_stylegan3.Generator):
    def __setstate__(self, state):
        self.__class__ = networks_stylegan3.Generator
        self.__init__(**state["_init_kwargs"])
        for name, weights in state["_modules"].items():
            getattr(self, name).load_state_dict(weights.state_dict())
        self.eval().requires_grad_(False)


class NoDiscriminator(torch.nn.Module):
    def __init__(self, **kwargs):
        super().__init__()

    def __setstate__(self, state):
        self.__init__()
'''


def generator_pickle(arguments: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a snapshot that `legacy.load_network_pkl` of StyleGAN3 reads.

    `G` and `G_ema` are one network; `D` is empty, since a model has no discriminator.

    Args:
        arguments: of the original class `Generator`, plain values by name.
        tensors: its state dict, stored as it is.
    """
    top = nn.Module()
    for name, tensor in tensors.items():
        *folders, last = name.split(".")
        _submodule(top, folders).register_buffer(last, tensor.detach().cpu().clone())
    state = {"_init_args": (), "_init_kwargs": dict(arguments), "_parameters": {}, "_buffers": {}}
    generator = _persistent("Generator", {**state, "_modules": dict(top.named_children())})
    return b"".join((
        *(pickle.PROTO, bytes([_PROTOCOL]), pickle.EMPTY_DICT, pickle.MARK),
        *(_key("G_ema"), generator, pickle.BINPUT, b"\0", _key("G"), pickle.BINGET, b"\0"),
        *(_key("D"), _persistent("NoDiscriminator", {})),
        *(_key("augment_pipe"), pickle.NONE, _key("training_set_kwargs"), pickle.NONE),
        *(pickle.SETITEMS, pickle.STOP),
    ))  # fmt: skip


def _submodule(module: nn.Module, names: list[str]) -> nn.Module:
    """A module below another one, made on the way."""
    for name in names:
        if name not in module._modules:
            module.add_module(name, nn.Module())
        module = module.get_submodule(name)
    return module


def _persistent(class_name: str, state: Mapping[str, Any]) -> bytes:
    """Opcodes that push a persistent object of `_SOURCE`; the original modules are only named."""
    meta = {
        "type": "class",
        "version": PERSISTENCE_VERSION,
        "module_src": _SOURCE,
        "class_name": class_name,
        "state": dict(state),
    }
    function = "\n".join((*RECONSTRUCTION.rsplit(".", 1), "")).encode()
    return pickle.GLOBAL + function + _plain(meta) + pickle.TUPLE1 + pickle.REDUCE


def _key(name: str) -> bytes:
    """Opcodes that push a name; the memo, where `G_ema` lies, stays as it is."""
    return pickle.BINUNICODE + len(name).to_bytes(4, "little") + name.encode()


def _plain(value: object) -> bytes:
    """Opcodes that push a value."""
    return pickle.dumps(value, protocol=_PROTOCOL)[2:-1]  # without PROTO and STOP
