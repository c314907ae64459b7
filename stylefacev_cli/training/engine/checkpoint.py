"""Checkpoints of a training stage: atomic, checksummed, a few kept, damaged ones passed over.

One file a checkpoint, `step-000001234.ckpt`: eight magic bytes, the SHA-256 of the rest, then
`torch.save` of the state. It is read as files of strangers are, by a reader that runs nothing:
tensors and plain containers come out, and their forms are checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylefacev_cli.common.files import atomic_path
from stylefacev_cli.common.listener import Listener
from stylefacev_cli.common.untrusted.pieces import open_piece
from stylefacev_cli.errors import IntegrityError, StyleFaceVError
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, shown
from stylefacev_cli.weights.untrusted.stored_tensor import StoredTensor
from stylefacev_cli.weights.untrusted.torch_zip import read_torch_zip

MAGIC = b"SFVCKPT1"
DIGEST_BYTES = 32
_MAX_FILE_BYTES = 2**36  # of networks, averages and optimisers of any size that one machine trains
_MAX_ENTRIES = 40_000  # tensors; those of the largest stage have some 4,000
_MAX_STEPS = 4_000_000  # of the pickle machine: some 30 a tensor
_MAX_STEP = 10**12
_MAX_DEPTH = 32
_STEP_NAME = re.compile(r"step-[0-9]{9,}\.ckpt")
_NO_STATE = (  # what networks and optimisers raise when a state is none of theirs
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints in one folder.

    Attributes:
        folder: where they are; made with the first one.
        keep: how many of the newest stay.
    """

    folder: Path
    keep: int = 3

    def paths(self) -> list[Path]:
        """The checkpoints, oldest first (damaged ones too)."""
        return sorted(self.folder.glob("step-*.ckpt"))

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint so that it is there entirely or not at all, then drop the oldest ones.

        Raises:
            StyleFaceVError: it cannot be written; then none is dropped.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:09d}.ckpt"
        write_checkpoint(path, state)
        for old in self.paths()[: -self.keep]:
            old.unlink(missing_ok=True)
        for leftover in self.folder.glob("*.part"):  # of a run that was killed while it saved
            leftover.unlink(missing_ok=True)
        return path

    def load_newest(self, listener: Listener | None = None) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, or None if there is none.

        Args:
            listener: is told of every damaged one that is passed over.

        Raises:
            IntegrityError: there are checkpoints, but all are damaged.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return read_state(path)
            except IntegrityError as error:
                if listener is not None:
                    listener.note(f"{error}; trying the checkpoint before it")
        if paths:
            raise IntegrityError(
                f"all checkpoints in {self.folder} are damaged: delete it to start anew"
            )
        return None


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state through a temporary file in the same folder, flushed, then renamed.

    Raises:
        StyleFaceVError: it cannot be written, for one because the disk is full; nothing of it is
            left, and files that were there are as they were.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    try:
        with atomic_path(path, synced=True) as part, part.open("wb") as file:
            file.write(MAGIC)
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
    except OSError as error:
        raise StyleFaceVError(
            f"cannot write {path}: {error.strerror or error}; earlier checkpoints are whole: make "
            "room, then run again to go on from them"
        ) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint after checking its hash; plain values and tensors come out.

    Raises:
        IntegrityError: the file is cut off, altered or no checkpoint at all.
    """
    try:
        content = open_piece(path, _MAX_FILE_BYTES)
    except OSError as error:
        raise IntegrityError(f"cannot read {path}: {error.strerror}") from error
    start = len(MAGIC) + DIGEST_BYTES
    head = bytes(content.read(0, start))
    if len(head) < start or not head.startswith(MAGIC):
        raise IntegrityError(f"{path} is no training checkpoint")
    payload, digest = content.part(start, len(content) - start), hashlib.sha256()
    for block in payload.blocks():
        digest.update(block)
    if digest.digest() != head[len(MAGIC) :]:
        raise IntegrityError(f"{path} is damaged (its checksum does not fit)")
    try:
        found = read_torch_zip(path, payload, max_entries=_MAX_ENTRIES, max_steps=_MAX_STEPS)
        state = _loaded(found, 0)
    except PickleRefused as error:
        raise IntegrityError(f"{path} holds no training state: {error}") from error
    if not isinstance(state, dict):
        raise IntegrityError(f"{path} holds no training state")
    return state


def read_state(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a stage; what every stage's has was found to be what it should be.

    Raises:
        IntegrityError: it is damaged, or was not written by a training.
    """
    state = read_checkpoint(path)
    told = _what_is_wrong(state, path.name)
    if told is not None:
        raise IntegrityError(f"{path} is damaged: {told}")
    return state


@contextlib.contextmanager
def applying(what: str) -> Iterator[None]:
    """Turn what networks and optimisers say of a state of another form into one clear line.

    Args:
        what: the checkpoint, for the message.

    Raises:
        IntegrityError: the state does not fit.
    """
    try:
        yield
    except _NO_STATE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise IntegrityError(
            f"{what} does not fit what it is loaded into ({reason}): delete it, or train into "
            "another --out"
        ) from error


def _loaded(value: object, depth: int) -> object:
    """Tensors of plain containers, read."""
    if depth > _MAX_DEPTH:
        raise PickleRefused("it is nested too deeply")
    if isinstance(value, StoredTensor):
        return value.load()
    if isinstance(value, dict):
        return {key: _loaded(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_loaded(item, depth + 1) for item in value]
    if isinstance(value, tuple):
        return tuple(_loaded(item, depth + 1) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise PickleRefused(f"it holds a {type(value).__name__}")


def _what_is_wrong(state: dict[str, Any], name: str) -> str | None:
    """Why a state is none that a stage has written; None if it may be."""
    step, used_s, skipped = (state.get(key) for key in ("step", "used_s", "bad_steps"))
    if type(step) is not int or not 0 <= step <= _MAX_STEP:
        return "its step is no number of steps"
    if _STEP_NAME.fullmatch(name) and name != f"step-{step:09d}.ckpt":
        return f"it is of step {step}, not of that in its name"
    if not isinstance(used_s, int | float) or not 0 <= used_s < math.inf:
        return "its time of training is no number of seconds"
    if type(skipped) is not int or not 0 <= skipped <= _MAX_STEP:
        return "its number of skipped steps cannot be"
    if not isinstance(state.get("stage"), dict):
        return "it lacks the state of its stage"
    for key, weights in _section(state["stage"], "networks").items():
        if not isinstance(weights, dict):
            return f"its network {shown(key)} has no weights"
        for where, tensor in weights.items():
            if not isinstance(tensor, torch.Tensor):
                return f"{shown(where)} of its network {shown(key)} is no tensor"
            if tensor.is_floating_point() and not tensor.isfinite().all():
                return f"{shown(where)} of its network {shown(key)} is not finite"
    return None


def _section(state: dict[str, Any], key: str) -> dict[str, Any]:
    section = state.get(key)
    return section if isinstance(section, dict) else {}


def random_states() -> dict[str, Any]:
    """The states of the random generators, as plain values and tensors.

    Those of GPUs are not among them: all training draws from generators of the CPU, so that a run
    can go on with another number of GPUs, or without any.
    """
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    assert isinstance(keys, np.ndarray)
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the random generators to what `random_states` returned."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
