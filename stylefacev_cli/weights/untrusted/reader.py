"""Pickles of StyleGAN3 and of torch, read by an allow-list: tensors and plain records come out.

StyleGAN3's snapshots hold persistent objects: a class name, its source code and its state. Here
such an object becomes a `Record` of name and state; the source code is never looked at. Tensors
lie in them as the bytes of an older `torch.save`, a pickle of its own, read by a stricter list.

    read_stylegan_pickle(data) → {"G_ema": Record("Generator", state={…}), …}
    read_torch_pickle(data, …) → {"conv1.weight": StoredTensor(…), …}

Source of the formats: what `torch.save` and the persistence of StyleGAN3 write; none of their code
is used.
"""

from __future__ import annotations

from typing import Any

from stylefacev_cli.common.untrusted.pieces import Piece, piece_of
from stylefacev_cli.weights.untrusted.machine import Find, LongText, Make, PickleMachine
from stylefacev_cli.weights.untrusted.pickle_values import (
    MAX_STEPS,
    Budget,
    PickleRefused,
    Record,
    check_key,
    shown,
)
from stylefacev_cli.weights.untrusted.stored_tensor import (
    STORAGE_TYPES,
    Storage,
    StoredTensor,
    storage_of,
    stored_tensor,
)
from stylefacev_cli.weights.untrusted.video_snapshots import (
    CONSTANT_NAMES,
    INERT_NAMES,
    sink,
    type_name,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the number that the old format begins with
PERSISTENCE_VERSION = 6  # that StyleGAN3 writes
RECONSTRUCTION = "torch_utils.persistence._reconstruct_persistent_obj"
_LEGACY_PROTOCOL = 1001
_MAX_ITEMS_OF_A_CALL = 100_000

# Classes whose objects may lie in a snapshot; they become records and are never imported.
_INERT_PREFIXES = ("torch.nn.modules.", "torch.nn.parameter.")
_INERT = INERT_NAMES | {
    "numpy.dtype",
    "numpy.ndarray",
    "torch.Size",
    "torch.device",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    *(f"torch.{dtype}" for dtype in STORAGE_TYPES.values()),
}


def read_stylegan_pickle(data: Piece) -> object:
    """Read a snapshot of StyleGAN3.

    Args:
        data: the whole file.

    Returns:
        Plain values, `Record`, `StoredTensor`, and a `Piece` for bytes.

    Raises:
        PickleRefused: it is damaged, or wants something that is not on the list.
    """
    meanings = _Meanings(Budget())
    return _whole(PickleMachine(data, 0, meanings.budget, meanings.of_stylegan))


def read_torch_pickle(data: Piece, max_steps: int = MAX_STEPS) -> tuple[object, dict[str, Storage]]:
    """Read `data.pkl` of a file of torch: its tensors are described, their numbers lie elsewhere.

    Args:
        data: the pickle.
        max_steps: of the machine.

    Returns:
        Plain values and `StoredTensor`, and the storages by their keys.

    Raises:
        PickleRefused: it is damaged, or wants something that is not on the list.
    """
    meanings, storages = _Meanings(Budget(max_steps)), dict[str, Storage]()
    budget, find = meanings.budget, meanings.of_torch
    return _whole(PickleMachine(data, 0, budget, find, _storages_into(storages))), storages


def read_legacy_torch(data: Piece) -> object:
    """Read a whole file as torch wrote them before version 1.6.

    Returns:
        Plain values and `StoredTensor`, whose storages are pieces of `data`.

    Raises:
        PickleRefused: it is damaged, or wants something that is not on the list.
    """
    meanings = _Meanings(Budget())
    return _read_legacy(data, meanings.budget, meanings.of_torch)


def is_legacy_torch(data: Piece) -> bool:
    """Whether a file begins as torch wrote them before version 1.6, in any protocol of pickle."""
    try:
        return PickleMachine(data, 0, Budget(8), _refuse_global).run() == LEGACY_MAGIC
    except PickleRefused:
        return False


def _whole(machine: PickleMachine) -> object:
    """The value of a pickle that nothing follows."""
    value = machine.run()
    if machine.position != len(machine.data):
        raise PickleRefused(f"{len(machine.data) - machine.position} bytes follow its end")
    return value


def _storages_into(known: dict[str, Storage]) -> Make:
    return lambda reference: storage_of(reference, known)


def _read_legacy(data: Piece, budget: Budget, find: Find) -> object:
    """Magic number, protocol, system, object, keys of the storages, then the storages."""
    storages: dict[str, Storage] = {}
    position = 0

    def part(find: Find, persistent: Make | None = None) -> object:
        nonlocal position
        machine = PickleMachine(data, position, budget, find, persistent)
        value = machine.run()
        position = machine.position
        return value

    if not is_legacy_torch(data):
        raise PickleRefused("its storage is not in the format of torch")
    part(_refuse_global)
    protocol, system = part(_refuse_global), part(_refuse_global)
    if type(protocol) is not int or protocol != _LEGACY_PROTOCOL:
        raise PickleRefused("its storage has an unknown protocol")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleRefused("its storage is not little-endian")
    value = part(find, _storages_into(storages))
    keys = part(_refuse_global)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise PickleRefused("the keys of its storages are malformed")
    if len(keys) != len(storages) or set(keys) != set(storages):
        raise PickleRefused("its storages are not those that it uses")
    for key in keys:
        storage = storages[key]
        if len(data) - position < 8:
            raise PickleRefused("a storage is cut off: its end is missing")
        count = int.from_bytes(data.read(position, 8), "little", signed=True)
        position += 8
        if count != storage.num_elements:
            raise PickleRefused(
                f"a storage of {storage.num_elements} numbers is announced as {count}"
            )
        if storage.num_bytes > len(data) - position:
            raise PickleRefused(
                f"a storage of {storage.num_elements} numbers is cut off: its end is missing"
            )
        storage.read = data.part(position, storage.num_bytes).read
        position += storage.num_bytes
    if position != len(data):
        raise PickleRefused(f"{len(data) - position} bytes follow its storages")
    return value


def _refuse_global(module: str, name: str) -> Make:
    raise PickleRefused(f"{shown(f'{module}.{name}', 80)} has no place in it")


class _Meanings:
    """What the allowed globals stand for."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        plain: dict[str, Make] = {
            "collections.OrderedDict": self.dictionary,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": self.parameter,
            "torch.Size": self.record("torch.Size"),
        }
        self.torch = {
            **plain,
            **{f"torch.{name}": _constant(STORAGE_TYPES[name]) for name in STORAGE_TYPES},
        }
        self.stylegan = {
            **plain,
            "torch._utils._rebuild_tensor": self.tensor,
            "torch.storage._load_from_bytes": self.storage,
            RECONSTRUCTION: self.persistent,
            "_codecs.encode": self.bytes_of_text,
            "builtins.bytes": self.no_bytes,
            "__builtin__.bytes": self.no_bytes,
            f"src.{RECONSTRUCTION}": self.persistent,
            "dnnlib.util.EasyDict": self.dictionary,
            "src.dnnlib.util.EasyDict": self.dictionary,
            "collections.defaultdict": sink,
            **{name: type_name(name) for name in CONSTANT_NAMES},
            "builtins.set": self.set,
            "__builtin__.set": self.set,
            "builtins.frozenset": self.set,
        }

    def of_stylegan(self, module: str, name: str) -> Make:
        """The list for snapshots."""
        path = f"{module}.{name}"
        if path in self.stylegan:
            return self.stylegan[path]
        if path in _INERT or path.startswith(_INERT_PREFIXES):
            return self.record(path)
        raise PickleRefused(f"it wants {shown(f'{module}.{name}', 80)}, which is not on the list")

    def of_torch(self, module: str, name: str) -> Make:
        """The list for state dicts."""
        path = f"{module}.{name}"
        if path in self.torch:
            return self.torch[path]
        raise PickleRefused(f"it wants {shown(f'{module}.{name}', 80)}, which is not on the list")

    def of_storage(self, module: str, name: str) -> Make:
        """The list for the bytes of a single storage: nothing but its type."""
        if module == "torch" and name in STORAGE_TYPES:
            return _constant(STORAGE_TYPES[name])
        raise PickleRefused(
            f"a nested pickle inside a storage wants {shown(f'{module}.{name}', 80)}; it is refused"
        )

    def record(self, path: str) -> Make:
        """An object that stays a record."""
        return lambda arguments: Record(path, arguments)

    def dictionary(self, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        """OrderedDict and EasyDict: empty, of pairs, or of a dictionary."""
        made: dict[Any, Any] = {}
        if len(arguments) > 1:
            raise PickleRefused("a dictionary in it is malformed")
        for source in arguments:
            pairs = list(source.items()) if isinstance(source, dict) else self.items(source)
            self.budget.spend(len(pairs))
            for pair in pairs:
                if not isinstance(pair, tuple | list) or len(pair) != 2:
                    raise PickleRefused("a dictionary in it is malformed")
                check_key(pair[0])
                made[pair[0]] = pair[1]
        return made

    def set(self, arguments: tuple[Any, ...]) -> set[Any]:
        """A set of plain values."""
        values = self.items(arguments[0]) if len(arguments) == 1 else []
        if len(arguments) > 1:
            raise PickleRefused("a set in it is malformed")
        for value in values:
            check_key(value)
        return set(values)

    def items(self, values: object) -> list[Any]:
        """The values of a list; copying them is paid for."""
        if not isinstance(values, list | tuple) or len(values) > _MAX_ITEMS_OF_A_CALL:
            raise PickleRefused("a container in it is malformed")
        self.budget.spend(len(values))
        return list(values)

    def tensor(self, arguments: tuple[Any, ...]) -> StoredTensor:
        """(storage, offset, shape, strides[, requires_grad, hooks[, metadata]])."""
        if not 4 <= len(arguments) <= 7:
            raise PickleRefused("a tensor in it is malformed")
        if len(arguments) == 7 and arguments[6]:
            raise PickleRefused("a tensor in it is to be negated or conjugated")
        return stored_tensor(*arguments[:4])

    def parameter(self, arguments: tuple[Any, ...]) -> StoredTensor:
        """(tensor, requires_grad, hooks)."""
        if len(arguments) != 3 or not isinstance(arguments[0], StoredTensor):
            raise PickleRefused("a parameter in it is malformed")
        return arguments[0]

    def storage(self, arguments: tuple[Any, ...]) -> Storage:
        """The bytes of one storage; torch would run any pickle that stands there."""
        if len(arguments) != 1 or not isinstance(arguments[0], Piece):
            raise PickleRefused("a storage in it is malformed")
        value = _read_legacy(arguments[0], self.budget, self.of_storage)
        if not isinstance(value, Storage):
            raise PickleRefused("a storage in it holds something else")
        return value

    def bytes_of_text(self, arguments: tuple[Any, ...]) -> Piece:
        """(text, "latin1"): bytes in protocol 2, which has none."""
        match arguments:
            case (LongText() as text, "latin1"):
                return text.latin1
            case (str() as text, "latin1"):
                self.budget.spend(len(text) // 256)
                try:
                    return piece_of(text.encode("latin-1"))
                except UnicodeError as error:
                    raise PickleRefused("a text that stands for bytes is malformed") from error
        raise PickleRefused("bytes in it are malformed")

    def no_bytes(self, arguments: tuple[Any, ...]) -> Piece:
        """(): the empty bytes of protocol 2."""
        if arguments:
            raise PickleRefused("bytes in it are malformed")
        return piece_of(b"")

    def persistent(self, arguments: tuple[Any, ...]) -> Record:
        """({type, version, module_src, class_name, state},): `module_src` is dropped unread."""
        meta = arguments[0] if len(arguments) == 1 else None
        if not isinstance(meta, dict) or meta.get("type") != "class":
            raise PickleRefused("a persistent object in it is malformed")
        name, state = meta.get("class_name"), meta.get("state")
        if not isinstance(name, str) or not name.isidentifier() or not isinstance(state, dict):
            raise PickleRefused("a persistent object in it is malformed")
        return Record(name, (), state)


def _constant(value: str) -> Make:
    """A global that is used as a value: `make(())` gives it; nothing may call it with arguments."""

    def make(arguments: tuple[Any, ...]) -> str:
        if arguments:
            raise PickleRefused("it calls the type of a storage")
        return value

    return make
