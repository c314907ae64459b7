"""The device that computes, by its name."""

from __future__ import annotations

import torch

from stylefacev_cli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        UsageError: it is not there, or no such name.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    if name not in there:
        raise UsageError(f"no such device: {name}; give one of auto, {', '.join(there)}")
    if not there[name]:
        raise UsageError(f"no {name} device on this machine; use --device auto or cpu")
    return torch.device(name)
