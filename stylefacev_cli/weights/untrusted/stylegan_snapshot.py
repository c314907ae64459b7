"""StyleGAN3 snapshots, as `reader` gives them → the tensors and arguments of their networks."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stylefacev_cli.common.untrusted.pieces import Piece
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, Record, shown
from stylefacev_cli.weights.untrusted.stored_tensor import StoredTensor
from stylefacev_cli.weights.untrusted.video_snapshots import is_settings, plain_settings

_KEY = "G_ema"  # the running average of the generator: what NVIDIA's own scripts draw with
_MAX_DEPTH = 16
_MAX_NODES = 20_000
_NUMPY_SCALARS = {"i8": "<q", "i4": "<i", "f8": "<d", "f4": "<f", "b1": "<?"}


@dataclass(frozen=True)
class SnapshotNetwork:
    """A network of a snapshot.

    Attributes:
        tensors: parameters and buffers, by their names in a state dict.
        arguments: what its class was made with, by name.
        notes: what was chosen, for the user.
    """

    tensors: Mapping[str, StoredTensor]
    arguments: Mapping[str, Any]
    notes: tuple[str, ...]


def averaged_generator(content: object) -> SnapshotNetwork:
    """The generator of a snapshot: `G_ema` of a dictionary, or the file's only network.

    Raises:
        PickleRefused: there is none.
    """
    return snapshot_network(content, _KEY, "Generator")


def snapshot_network(content: object, key: str, class_name: str) -> SnapshotNetwork:
    """A network of a snapshot: that of a key, if it is a dictionary, or the file's only network.

    Args:
        content: of the file.
        key: `G_ema` or `D`.
        class_name: what the network has to be.

    Raises:
        PickleRefused: there is none, or it is of another class.
    """
    notes = ["the Python source in it was not run"]
    network = content
    if isinstance(content, dict):
        names = sorted(
            shown(key, 40) for key, value in content.items() if isinstance(value, Record)
        )
        if key not in content:
            raise PickleRefused(f"it holds no {key}, only {', '.join(names[:8]) or 'no network'}")
        network = content[key]
        notes.insert(0, f"{key} taken of {', '.join(names[:8])}")
    if not isinstance(network, Record) or not isinstance(network.state, dict):
        raise PickleRefused("it holds no network")
    if network.path != class_name:
        raise PickleRefused(f"it holds a {shown(network.path)}, not a {class_name}")
    arguments = network.state.get("_init_kwargs")
    if network.state.get("_init_args") not in ((), []) or not isinstance(arguments, dict):
        raise PickleRefused(f"it does not say by name what its {class_name} was made with")
    tensors: dict[str, StoredTensor] = {}
    _collect(network, "", tensors, [0], 0)
    plain = _plain(arguments, 0)
    assert isinstance(plain, dict)
    return SnapshotNetwork(tensors, plain, tuple(notes))


def _collect(
    module: Record, prefix: str, tensors: dict[str, StoredTensor], seen: list[int], depth: int
) -> None:
    """Put the tensors of a module and those below it into `tensors`, as `state_dict` does."""
    seen[0] += 1
    if depth > _MAX_DEPTH or seen[0] > _MAX_NODES:
        raise PickleRefused("its modules are nested too deeply")
    state = module.state
    if not isinstance(state, dict):
        raise PickleRefused(f"the module {shown(prefix)!r} in it has no state")
    passing = state.get("_non_persistent_buffers_set", set())
    for group in ("_parameters", "_buffers"):
        for name, tensor in _named(state, group, prefix):
            if tensor is None or (isinstance(passing, set) and name in passing):
                continue
            if not isinstance(tensor, StoredTensor):
                raise PickleRefused(f"{shown(prefix + name)} in it is no tensor")
            seen[0] += 1
            tensors[prefix + name] = tensor
    for name, child in _named(state, "_modules", prefix):
        if child is None:
            continue
        if not isinstance(child, Record):
            raise PickleRefused(f"{shown(prefix + name)} in it is no module")
        _collect(child, f"{prefix}{name}.", tensors, seen, depth + 1)


def _named(state: dict[Any, Any], group: str, prefix: str) -> list[tuple[str, Any]]:
    items = state.get(group)
    if not isinstance(items, dict) or not all(
        isinstance(name, str) and re.fullmatch("[A-Za-z0-9_]{1,64}", name) for name in items
    ):
        raise PickleRefused(f"the {group} of {shown(prefix) or 'the network'} in it are malformed")
    return list(items.items())


def _plain(value: object, depth: int) -> object:
    """Arguments as plain values; numpy's scalars become numbers."""
    if depth > _MAX_DEPTH:
        raise PickleRefused("the arguments of its Generator are nested too deeply")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict) and len(value) <= 64:
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and len(value) <= 64:
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, Record) and value.path.endswith("multiarray.scalar"):
        return _numpy_scalar(value)
    if isinstance(value, Record) and is_settings(value):
        return plain_settings(value)
    raise PickleRefused("an argument of its Generator is no plain value")


def _numpy_scalar(record: Record) -> object:
    match record.arguments:
        case (Record(path="numpy.dtype", arguments=(str(kind), *_)), Piece() as data):
            layout = _NUMPY_SCALARS.get(kind.lstrip("<|"))
            if layout is not None and len(data) == struct.calcsize(layout):
                number: object = struct.unpack(layout, data.read())[0]
                return number
    raise PickleRefused("a number of numpy in it is malformed")
