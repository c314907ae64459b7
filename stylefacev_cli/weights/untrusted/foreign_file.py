"""Untrusted files of weights → names, shapes and types first, numbers after they were checked.

A file is opened once and known by its first bytes, not by its name:

    safetensors                          described by its header
    torch, zip (since 1.6) and older     described by our own reading of its pickle
    StyleGAN3 pickle                     read by the allow-list of `reader`, never by `pickle`

The tensors are made of the very storages that were described: no second reader, which may find
other things in the file, ever sees it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.untrusted.pieces import Piece, open_piece
from stylefacev_cli.common.untrusted.safetensors_file import NotSafetensors, read_safetensors
from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.untrusted.file_kinds import known_kind
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, shown
from stylefacev_cli.weights.untrusted.reader import (
    is_legacy_torch,
    read_legacy_torch,
    read_stylegan_pickle,
)
from stylefacev_cli.weights.untrusted.stored_tensor import (
    ITEM_BYTES,
    Storage,
    StoredTensor,
    load_tensors,
    total_bytes,
)
from stylefacev_cli.weights.untrusted.stylegan_snapshot import averaged_generator
from stylefacev_cli.weights.untrusted.torch_zip import MAX_TENSORS, read_torch_zip

if TYPE_CHECKING:
    import torch

# DataParallel puts `module.` before every name; torch.compile puts `_orig_mod.` before those of
# each module that it compiled, wherever that is.
_PARALLEL, _COMPILED = "module.", "_orig_mod."
# Lightning puts a state dict below the first, the usual PyTorch StyleGAN2 its averaged generator
# below the second.
_STATE_KEYS = ("state_dict", "g_ema")
_ADVICE = "nothing in it was run; fetch it again from its publisher"
_SAFETENSORS_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class TensorSpec:
    """What is known of a tensor before it is read: type (as torch calls it) and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights, looked through but not loaded; it stays open.

    Attributes:
        path: the file.
        content: its bytes.
        specs: its tensors, by name; the prefixes of wrappers are off.
        load: reads all of them: finite, contiguous, on the CPU, as `specs` says.
        arguments: what the class of the network was made with, where the file says.
        notes: what was chosen or changed, for the user.
    """

    path: Path
    content: Piece
    specs: Mapping[str, TensorSpec]
    load: Callable[[], dict[str, torch.Tensor]]
    arguments: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        digest = hashlib.sha256()
        for block in self.content.blocks():
            digest.update(block)
        return digest.hexdigest()


def read_checkpoint(path: Path, content: Piece | None = None) -> Checkpoint:
    """Look through a file of weights; none of its numbers is read.

    Args:
        path: the file.
        content: its bytes, where they lie in another file.

    Raises:
        MissingWeightsError: there is no such file.
        IntegrityError: it is damaged, of no known format, or wants to run code.
    """
    content = open_weights(path) if content is None else content
    try:
        checkpoint = _described(path, content)
    except PickleRefused as error:
        raise IntegrityError(f"{path} is refused: {error}: {_ADVICE}") from error
    if not checkpoint.specs:
        raise IntegrityError(f"{path} holds no tensors: it is no file of weights")
    return _checked(_without_prefixes(checkpoint))


def open_weights(path: Path) -> Piece:
    """A file of weights, opened.

    Raises:
        MissingWeightsError: there is no such file.
        IntegrityError: it is larger than any.
    """
    try:
        if not path.is_file():
            raise MissingWeightsError(f"no such file of weights: {path}")
        return open_piece(path)
    except (OSError, ValueError) as error:
        raise MissingWeightsError(f"cannot read {path}: {error}") from error


def _described(path: Path, content: Piece) -> Checkpoint:
    start = bytes(content.read(0, 512))
    if start.startswith(b"PK"):
        return _torch_zip(path, content)
    if is_legacy_torch(content):
        state, notes = _state_dict(path, read_legacy_torch(content), len(content))
        return _of_tensors(path, content, state, notes)
    if start[:1] == b"\x80":
        generator = averaged_generator(read_stylegan_pickle(content))
        _check_total(path, generator.tensors, len(content))
        found = _of_tensors(path, content, generator.tensors, generator.notes)
        return replace(found, arguments=generator.arguments)
    told = known_kind(path.name, start, len(content))
    if told is not None:
        raise IntegrityError(f"{path} is {told}")
    if start[8:9] == b"{":
        return _safetensors(path, content)
    raise IntegrityError(f"{path} is no safetensors, torch or StyleGAN3 file: fetch it again")


def _of_tensors(
    path: Path, content: Piece, tensors: Mapping[str, StoredTensor], notes: tuple[str, ...]
) -> Checkpoint:
    specs = {name: TensorSpec(t.dtype, t.shape) for name, t in tensors.items()}
    return Checkpoint(path, content, specs, lambda: load_tensors(tensors), notes=notes)


def _torch_zip(path: Path, content: Piece) -> Checkpoint:
    state, notes = _state_dict(path, read_torch_zip(path, content), len(content))
    return _of_tensors(path, content, state, notes)


def _state_dict(
    path: Path, content: object, num_bytes: int
) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """The tensors of a state dict, which may lie under one of `_STATE_KEYS`."""
    notes: tuple[str, ...] = ()
    for key in _STATE_KEYS:
        if not isinstance(content, dict) or not isinstance(content.get(key), dict):
            continue
        others = [shown(other, 40) for other in content if other != key]
        content = content[key]
        if others:
            notes = (f"{key} taken, left out: {', '.join(sorted(others)[:5])}",)
        break
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds no state dict: it is of another kind")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise IntegrityError(
                f"{path}: {shown(name)!r} in it is no tensor: a state dict was expected"
            )
    _check_total(path, content, num_bytes)
    return content, notes


def _safetensors(path: Path, content: Piece) -> Checkpoint:
    try:
        entries = read_safetensors(content).entries
    except NotSafetensors as error:
        raise IntegrityError(
            f"{path} is no whole safetensors file: {error}; fetch it again"
        ) from error
    tensors: dict[str, StoredTensor] = {}
    for name, entry in entries.items():
        dtype = _SAFETENSORS_TYPES[entry.kind]
        storage = Storage(dtype, len(entry.data) // ITEM_BYTES[dtype], entry.data.read)
        tensors[name] = StoredTensor.contiguous(storage, entry.shape)
    return _of_tensors(path, content, tensors, ())


def _check_total(path: Path, tensors: Mapping[str, StoredTensor], num_bytes: int) -> None:
    """Tensors may share a storage, but not so that a small file becomes a large model."""
    if len(tensors) > MAX_TENSORS:
        raise IntegrityError(f"{path} is refused: it has {len(tensors)} tensors")
    if total_bytes(tensors) > 2 * num_bytes:
        raise IntegrityError(
            f"{path} is refused: its {num_bytes} bytes would become {total_bytes(tensors)}"
        )


def _without_prefixes(checkpoint: Checkpoint) -> Checkpoint:
    """Take off what wrappers put into the names: here and nowhere else."""
    names = {name: name for name in checkpoint.specs}
    notes: list[str] = []
    before: dict[str, str] | None = None
    while names != before:  # DataParallel of a compiled module, and the reverse
        before = dict(names)
        compiled = {
            n: re.sub(rf"(^|\.){re.escape(_COMPILED)}", r"\1", now) for n, now in names.items()
        }
        changed = sum(compiled[n] != now for n, now in names.items())
        if changed:
            notes.append(f"{_COMPILED!r} of torch.compile was taken off {changed} names")
            names = compiled
        if all(now.startswith(_PARALLEL) for now in names.values()):
            names = {n: now.removeprefix(_PARALLEL) for n, now in names.items()}
            notes.append(f"the prefix {_PARALLEL!r} was taken off {len(names)} names")
    if not notes:
        return checkpoint
    if len(set(names.values())) != len(names):
        raise IntegrityError(
            f"{checkpoint.path} has tensors of one name, with and without {_COMPILED!r}: refused"
        )
    inner = checkpoint.load

    def load() -> dict[str, torch.Tensor]:
        return {names[name]: tensor for name, tensor in inner().items()}

    specs = {names[name]: spec for name, spec in checkpoint.specs.items()}
    return replace(checkpoint, specs=specs, load=load, notes=(*checkpoint.notes, *notes))


def _checked(checkpoint: Checkpoint) -> Checkpoint:
    """Let `load` give what `specs` announced, with finite numbers, or nothing."""
    inner, path = checkpoint.load, checkpoint.path

    def load() -> dict[str, torch.Tensor]:
        tensors = inner()
        for name, spec in checkpoint.specs.items():
            tensor = tensors.get(name)
            found = tensor is not None and (str(tensor.dtype), tuple(tensor.shape))
            if tensor is None or found != (f"torch.{spec.dtype}", spec.shape):
                raise IntegrityError(f"{path} changed while it was read: {name} is another one")
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise IntegrityError(f"{path}: {name} holds numbers that are not finite")
        return tensors

    return replace(checkpoint, load=load)
