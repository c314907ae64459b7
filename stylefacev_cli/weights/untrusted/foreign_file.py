"""Untrusted files of weights → names, shapes and types first, numbers after they were checked.

A file is known by its first bytes, not by its name:

    safetensors                          described by its header
    torch, zip (since 1.6) and older     described by our own reading of its pickle, then loaded by
                                         `torch.load(weights_only=True)`, with no way around
    StyleGAN3 pickle                     read by the allow-list of `reader`, never by `pickle`
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.untrusted.archives import member_bytes, open_archive
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, shown
from stylefacev_cli.weights.untrusted.reader import (
    LEGACY_MAGIC,
    read_legacy_torch,
    read_stylegan_pickle,
    read_torch_pickle,
)
from stylefacev_cli.weights.untrusted.stored_tensor import ITEM_BYTES, StoredTensor, total_bytes
from stylefacev_cli.weights.untrusted.stylegan_snapshot import averaged_generator

if TYPE_CHECKING:
    import torch

MAX_FILE_BYTES = 2**32
_MAX_TENSORS = 10_000
_MAX_PICKLE_BYTES = 2**24  # of data.pkl, which holds no numbers
_MAX_HEADER_BYTES = 2**22  # of a safetensors file
_PREFIX = "module."
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
    """A file of weights, looked through but not loaded.

    Attributes:
        path: the file.
        sha256: of the file.
        specs: its tensors, by name; `module.` prefixes are off.
        load: reads all of them: finite, contiguous, on the CPU, as `specs` says.
        arguments: what the class of the network was made with, where the file says.
        notes: what was chosen or changed, for the user.
    """

    path: Path
    sha256: str
    specs: Mapping[str, TensorSpec]
    load: Callable[[], dict[str, torch.Tensor]]
    arguments: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Look through a file of weights; nothing large is allocated but the file's own bytes.

    Raises:
        MissingWeightsError: there is no such file.
        IntegrityError: it is damaged, of no known format, or wants to run code.
    """
    data = _file_bytes(path)
    try:
        checkpoint = _described(path, memoryview(data))
    except PickleRefused as error:
        raise IntegrityError(f"{path} is refused: {error}: {_ADVICE}") from error
    if not checkpoint.specs:
        raise IntegrityError(f"{path} holds no tensors: it is no file of weights")
    return _checked(_without_prefix(replace(checkpoint, sha256=hashlib.sha256(data).hexdigest())))


def _file_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise MissingWeightsError(f"no such file of weights: {path}")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MissingWeightsError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise IntegrityError(f"{path} is larger than any file of weights: refused")
    return data


def _described(path: Path, data: memoryview) -> Checkpoint:
    start = bytes(data[:64])
    if start.startswith(b"PK"):
        return _torch_zip(path, len(data))
    if start.startswith(LEGACY_MAGIC):
        specs = _state_dict(path, read_legacy_torch(data), len(data))
        return Checkpoint(path, "", specs[0], _torch_loader(path), notes=specs[1])
    if start[:1] == b"\x80":
        return _stylegan(path, data)
    if start[8:9] == b"{":
        return _safetensors(path, data)
    if start.lstrip()[:1] == b"<":
        raise IntegrityError(
            f"{path} is a web page, not weights: fetch the file itself (a browser may be needed)"
        )
    if start.startswith(b"version https://git-lfs"):
        raise IntegrityError(f"{path} is a Git LFS pointer, not weights: run `git lfs pull`")
    raise IntegrityError(f"{path} is no safetensors, torch or StyleGAN3 file: fetch it again")


def _torch_zip(path: Path, num_bytes: int) -> Checkpoint:
    with open_archive(path, max_entries=_MAX_TENSORS + 16, max_bytes=num_bytes) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        pickles = [name for name in sizes if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise IntegrityError(
                f"{path} is a zip, but not of torch weights; "
                "give a zip with several files of weights as --archive"
            )
        folder = pickles[0].removesuffix("data.pkl")
        if any(name.startswith(f"{folder}code/") for name in sizes):
            raise IntegrityError(f"{path} is refused: it is TorchScript, which holds code")
        described, storages = read_torch_pickle(
            memoryview(member_bytes(archive, pickles[0], _MAX_PICKLE_BYTES))
        )
    for key, storage in storages.items():
        if sizes.get(f"{folder}data/{key}") != storage.num_bytes:
            raise IntegrityError(
                f"{path} is damaged: its storage {shown(key, 40)!r} has not the announced "
                f"{storage.num_bytes} bytes; fetch it again"
            )
    specs, notes = _state_dict(path, described, num_bytes)
    return Checkpoint(path, "", specs, _torch_loader(path), notes=notes)


def _torch_loader(path: Path) -> Callable[[], dict[str, torch.Tensor]]:
    def load() -> dict[str, torch.Tensor]:
        import torch

        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
            reason = (" ".join(str(error).split()) or type(error).__name__)[:120]
            raise IntegrityError(f"torch cannot read {path} ({reason}): {_ADVICE}") from error
        state = content.get("state_dict", content)
        return {name: tensor.detach().contiguous() for name, tensor in state.items()}

    return load


def _state_dict(
    path: Path, content: object, num_bytes: int
) -> tuple[dict[str, TensorSpec], tuple[str, ...]]:
    """The tensors of a state dict, which may lie under the key `state_dict`."""
    notes: tuple[str, ...] = ()
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        others = [shown(key, 40) for key in content if key != "state_dict"]
        content = content["state_dict"]
        if others:
            notes = (f"state_dict taken, left out: {', '.join(sorted(others)[:5])}",)
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds no state dict: it is of another kind")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise IntegrityError(
                f"{path}: {shown(name)!r} in it is no tensor: a state dict was expected"
            )
    _check_total(path, content, num_bytes)
    return {name: TensorSpec(t.dtype, t.shape) for name, t in content.items()}, notes


def _stylegan(path: Path, data: memoryview) -> Checkpoint:
    generator = averaged_generator(read_stylegan_pickle(data))
    _check_total(path, generator.tensors, len(data))

    def load() -> dict[str, torch.Tensor]:
        return {name: tensor.load() for name, tensor in generator.tensors.items()}

    specs = {name: TensorSpec(t.dtype, t.shape) for name, t in generator.tensors.items()}
    return Checkpoint(path, "", specs, load, generator.arguments, generator.notes)


def _safetensors(path: Path, data: memoryview) -> Checkpoint:
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > min(_MAX_HEADER_BYTES, len(data) - 8):
            raise IntegrityError(f"{path} is damaged: its header is cut off; fetch it again")
        header = json.loads(bytes(data[8 : 8 + length]))
        header.pop("__metadata__", None)
        specs = {
            name: TensorSpec(_SAFETENSORS_TYPES[entry["dtype"]], tuple(entry["shape"]))
            for name, entry in header.items()
        }
        for spec in specs.values():
            if not all(type(side) is int and 0 <= side <= len(data) for side in spec.shape):
                raise ValueError("a side of a tensor cannot be")
        total = sum(math.prod(s.shape) * ITEM_BYTES[s.dtype] for s in specs.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{path} is no safetensors file: its header is malformed") from error
    if total > len(data):
        raise IntegrityError(f"{path} is damaged: it announces {total} bytes; fetch it again")

    def load() -> dict[str, torch.Tensor]:
        import safetensors
        from safetensors.torch import load_file

        try:
            tensors: dict[str, torch.Tensor] = load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise IntegrityError(f"cannot read {path}: {error}; fetch it again") from error
        return tensors

    return Checkpoint(path, "", specs, load)


def _check_total(path: Path, tensors: Mapping[str, StoredTensor], num_bytes: int) -> None:
    """Tensors may share a storage, but not so that a small file becomes a large model."""
    if len(tensors) > _MAX_TENSORS:
        raise IntegrityError(f"{path} is refused: it has {len(tensors)} tensors")
    if total_bytes(tensors) > 2 * num_bytes:
        raise IntegrityError(
            f"{path} is refused: its {num_bytes} bytes would become {total_bytes(tensors)}"
        )


def _without_prefix(checkpoint: Checkpoint) -> Checkpoint:
    """Take off the `module.` that DataParallel puts before every name: here and nowhere else."""
    if not all(name.startswith(_PREFIX) for name in checkpoint.specs):
        return checkpoint
    inner = checkpoint.load

    def load() -> dict[str, torch.Tensor]:
        return {name.removeprefix(_PREFIX): tensor for name, tensor in inner().items()}

    specs = {name.removeprefix(_PREFIX): spec for name, spec in checkpoint.specs.items()}
    note = f"the prefix {_PREFIX!r} was taken off {len(specs)} names"
    return replace(checkpoint, specs=specs, load=load, notes=(*checkpoint.notes, note))


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
