"""Checkpoints of a training stage: atomic, checksummed, a few kept, damaged ones passed over.

One file a checkpoint, `step-000001234.ckpt`: eight magic bytes, the SHA-256 of the rest, then
`torch.save` of the state. It is read with `weights_only=True`, so it can hold tensors and plain
containers only.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylefacev_cli.common.files import atomic_path
from stylefacev_cli.common.listener import Listener
from stylefacev_cli.errors import IntegrityError, StyleFaceVError

MAGIC = b"SFVCKPT1"
DIGEST_BYTES = 32


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
                return read_checkpoint(path)
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
    """Read a checkpoint after checking its hash.

    Raises:
        IntegrityError: the file is cut off, altered or no checkpoint at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"cannot read {path}: {error.strerror}") from error
    start = len(MAGIC) + DIGEST_BYTES
    if len(content) < start or not content.startswith(MAGIC):
        raise IntegrityError(f"{path} is no training checkpoint")
    payload = memoryview(content)[start:]
    if hashlib.sha256(payload).digest() != content[len(MAGIC) : start]:
        raise IntegrityError(f"{path} is damaged (its checksum does not fit)")
    state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise IntegrityError(f"{path} holds no training state")
    return state


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
