"""The pickle reader: tensors come out, nothing is run, and every refusal says why."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import signal
import struct
import subprocess
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fuzz_unpickle
import pytest
import torch
from persistence_pickles import (
    EasyDict,
    Persistent,
    persistent,
    persistent_generator,
    snapshot_bytes,
    snapshot_of,
)
from tiny import tiny_networks
from torch import nn

from stylefacev_cli.common.untrusted.pieces import Piece, piece_of
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, Record
from stylefacev_cli.weights.untrusted.reader import (
    read_legacy_torch,
    read_stylegan_pickle,
    read_torch_pickle,
)
from stylefacev_cli.weights.untrusted.stored_tensor import StoredTensor


def read(data: bytes) -> Any:
    return read_stylegan_pickle(piece_of(data))


class Call:
    """Is pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def storage_of(content: object) -> Call:
    """A storage in whose bytes something else lies than a storage."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return Call(torch.storage._load_from_bytes, buffer.getvalue())


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_snapshots_are_read(tmp_path: Path, protocol: int) -> None:
    generator = tiny_networks(seed=3).generator
    (tmp_path / "a.pkl").write_bytes(snapshot_of(generator, protocol=protocol))
    checkpoint = read_checkpoint(tmp_path / "a.pkl")
    state = generator.state_dict()
    loaded = checkpoint.load()
    assert set(loaded) == set(checkpoint.specs) == set(state)
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype, name
        assert checkpoint.specs[name].shape == tuple(tensor.shape)
    assert checkpoint.arguments is not None and checkpoint.arguments["img_resolution"] == 16
    assert any("G_ema taken of D, G, G_ema" in note for note in checkpoint.notes)


def test_values_and_records() -> None:
    content = {
        "numbers": [0, 255, 65535, -1, 2**40, -(2**200), 1.5, True, False, None],
        "texts": ("", "ü", "x" * 300, b"bytes", b"y" * 300),
        "sets": [{1, 2}, frozenset({"a"})],
        "ordered": OrderedDict([("a", 1), ("b", 2)]),
        "easy": EasyDict(a=EasyDict(b=2)),
        "module": nn.Sequential(nn.Linear(2, 2)),
    }
    for protocol in (3, 4, 5):
        found = read(snapshot_bytes(content, protocol))
        assert found["numbers"] == content["numbers"]
        assert [bytes(t.read()) if isinstance(t, Piece) else t for t in found["texts"]] == list(
            content["texts"]  # type: ignore[call-overload]
        )
        assert found["sets"] == [{1, 2}, {"a"}]
        assert found["ordered"] == {"a": 1, "b": 2} and found["easy"] == {"a": {"b": 2}}
        assert isinstance(found["module"], Record)
        assert found["module"].path == "torch.nn.modules.container.Sequential"


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "uint8"])
def test_tensors_of_every_form(dtype: str) -> None:
    base = torch.arange(120).reshape(2, 3, 4, 5).to(getattr(torch, dtype))
    forms = [
        *(base, base.permute(0, 2, 3, 1), base[:, 1:, ::2], base[1, 2, 3, 4], base[:0]),
        base.to(memory_format=torch.channels_last),
    ]
    for form, found in zip(forms, read(pickle.dumps(forms)), strict=True):
        assert isinstance(found, StoredTensor)
        assert torch.equal(found.load(), form)


HOSTILE: list[tuple[Any, str]] = [
    (Call(eval, "1 + 1"), "it wants builtins.eval"),
    (Call(os.system, "true"), "it wants (posix|nt).system"),
    (Call(subprocess.Popen, ["true"]), "it wants subprocess.Popen"),
    (Call(getattr, "", "join"), "it wants builtins.getattr"),
    (Call(torch.load, "x"), "it wants torch.serialization.load"),
    (storage_of(Call(os.system, "true")), "a nested pickle inside a storage wants (posix|nt)"),
    (storage_of({"no": "storage"}), "a storage in it holds something else"),
    (
        Call(torch.storage._load_from_bytes, pickle.dumps(Call(eval, "1"))),
        "its storage is not in the format of torch",
    ),
    ({(1, 2): 3}, "a key in it is a tuple"),
    (2**10_000, "a number of 1251 bytes|LONG"),
]


@pytest.mark.parametrize(("content", "told"), HOSTILE)
@pytest.mark.parametrize("protocol", [3, 4])
def test_what_would_run_code_is_refused(content: Any, told: str, protocol: int) -> None:
    with pytest.raises(PickleRefused, match=told) as caught:
        read(pickle.dumps({"G_ema": content}, protocol))
    assert "\n" not in str(caught.value) and "(byte " in str(caught.value)


def test_hostile_files_are_refused_on_one_line_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Call(os.mkdir, str(trap))))
    with pytest.raises(IntegrityError, match=r"a\.pkl is refused: it wants .*mkdir.*nothing in it"):
        read_checkpoint(tmp_path / "a.pkl")
    assert not trap.exists()


def test_source_in_a_file_is_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    hostile = f"import os\nos.mkdir({str(trap)!r})\n"
    data = snapshot_of(tiny_networks().generator, source=hostile)
    assert hostile.encode() in data
    (tmp_path / "a.pkl").write_bytes(data)
    checkpoint = read_checkpoint(tmp_path / "a.pkl")
    assert checkpoint.load() and not trap.exists()
    assert "the Python source in it was not run" in checkpoint.notes


def test_every_truncation_is_refused() -> None:
    data = snapshot_bytes({"G_ema": persistent(nn.Linear(2, 2), EasyDict())})
    for length in range(len(data)):
        with pytest.raises(PickleRefused):
            read(data[:length])
    with pytest.raises(PickleRefused, match="3 bytes follow its end"):
        read(data + b"abc")


def tensor_call(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Call:
    storage = torch.zeros(4).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    arguments = (typed, offset, shape, strides, False, OrderedDict())
    return Call(torch._utils._rebuild_tensor_v2, *arguments)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (tensor_call((5_000_000, 5000), (5000, 1)), r"\(100 GB\) is larger than its storage of 4"),
        (tensor_call((5_000_000, 5000), (0, 0)), r"\(100 GB\) is larger than its storage of 4"),
        (tensor_call((2,), (4,)), "reaches beyond its storage"),
        (tensor_call((4,), (1,), 1), "reaches beyond its storage"),
        (tensor_call((2,), (1,), -1), "the offset of a tensor in it cannot be"),
        (tensor_call((2,), (-1,), 3), "the strides of a tensor in it cannot be"),
        (tensor_call((-2,), (1,)), "the shape of a tensor in it cannot be"),
        (tensor_call((2,), ()), "1 sides, but 0 strides"),
        (tensor_call((1,) * 9, (1,) * 9), "the shape of a tensor in it cannot be"),
    ],
)
def test_tensors_have_to_lie_within_their_storage(call: Call, told: str) -> None:
    with pytest.raises(PickleRefused, match=told):
        read(pickle.dumps(call))


def test_a_storage_that_lies_about_its_length() -> None:
    data = pickle.dumps(torch.arange(4.0))
    for faked in (struct.pack("<q", 2**37), struct.pack("<q", -1), struct.pack("<q", 3)):
        at = data.index(struct.pack("<q", 4) + struct.pack("<4f", 0, 1, 2, 3))
        with pytest.raises(PickleRefused, match="a storage of 4 numbers is announced as"):
            read(data[:at] + faked + data[at + 8 :])
    both = data.replace(b"K\x04Nt", b"K\xffNt").replace(
        struct.pack("<q", 4), struct.pack("<q", 255)
    )
    with pytest.raises(PickleRefused, match="cut off"):
        read(both)


BOMBS = {
    "deep lists": b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "deep tuples": b"\x80\x04)" + b"\x85" * 390_000 + b".",
    "doubling tuples": b"\x80\x04)" + b"2\x86" * 100_000 + b".",
    "hash of doubling tuples": b"\x80\x04}" + b")" + b"2\x86" * 60 + b"Ns.",
    "sets": b"\x80\x04" + b"\x8f" * 1_000_000 + b".",
    "far memo": b"\x80\x04Nr\xff\xff\xff\xff0" * 3 + b"N.",
    "long text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x",
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "copies of a list": (
        b"\x80\x04](" + b"N" * 90_000 + b"e\x94ccollections\nOrderedDict\n\x94"
        + b"h\x01h\x00\x85R" * 1000 + b"."
    ),
    "repeated set": b"\x80\x04](" + b"N" * 90_000 + b"e\x94" + b"cbuiltins\nset\nh\x00\x85R" * 999,
}  # fmt: skip


@contextlib.contextmanager
def ending_soon() -> Iterator[None]:
    """Break off what has used a minute of the processor: it would not end."""

    def give_up(number: int, frame: object) -> None:
        pytest.fail("a minute of the processor, and no end")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_soon_and_take_little_memory(name: str) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with ending_soon():
            read(BOMBS[name])
    except PickleRefused:
        pass
    else:
        assert name in ("deep lists", "deep tuples", "doubling tuples", "far memo")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 250_000


def linked(depth: int, children: int) -> Persistent:
    module = Persistent("Layer", {"_parameters": {}, "_buffers": {}, "_modules": {}})
    for _ in range(depth):
        below = {f"m{i}": module for i in range(children)}
        module = Persistent("Layer", {"_parameters": {}, "_buffers": {}, "_modules": below})
    return module


@pytest.mark.parametrize(("depth", "children"), [(60, 1), (15, 8)])
def test_modules_that_multiply_are_refused(tmp_path: Path, depth: int, children: int) -> None:
    generator = persistent_generator(tiny_networks().generator)
    generator.meta["state"]["_modules"] = {"m": linked(depth, children)}
    (tmp_path / "a.pkl").write_bytes(snapshot_bytes({"G_ema": generator}))
    with pytest.raises(IntegrityError, match="modules are nested too deeply"):
        read_checkpoint(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"G": Persistent("Generator", {})}, "it holds no G_ema, only G"),
        ({}, "it holds no G_ema, only no network"),
        ({"G_ema": 3}, "it holds no network"),
        ({"G_ema": Persistent("Detector", {})}, "it holds a Detector, not a Generator"),
        ({"G_ema": Persistent("Generator", {})}, "does not say by name"),
        (
            {"G_ema": Persistent("Generator", {"_init_args": (3,), "_init_kwargs": {}})},
            "does not say by name",
        ),
        (
            {"G_ema": Persistent("Generator", {"_init_args": (), "_init_kwargs": {}})},
            "_parameters of the network in it are malformed",
        ),
    ],
)
def test_snapshots_without_a_generator(tmp_path: Path, content: Any, told: str) -> None:
    (tmp_path / "a.pkl").write_bytes(snapshot_bytes(content))
    with pytest.raises(IntegrityError, match=told):
        read_checkpoint(tmp_path / "a.pkl")


def test_files_of_torch_have_a_shorter_list() -> None:
    for content in (nn.Linear(2, 2), Call(os.system, "true"), {1, 2}):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=False)
        with pytest.raises(PickleRefused, match="not on the list"):
            read_legacy_torch(piece_of(buffer.getvalue()))
    with pytest.raises(PickleRefused, match="refers to storages"):
        read(b"\x80\x04NQ.")
    with pytest.raises(PickleRefused, match="instruction INST"):
        read_torch_pickle(piece_of(b"\x80\x02(ios\nsystem\n."))
    with pytest.raises(PickleRefused, match="the byte 0xff is no instruction"):
        read(b"\x80\x04\xff")


def test_short_fuzzing() -> None:
    report = fuzz_unpickle.fuzz(4000, seed=0)
    assert report.inputs == report.read + report.refused == 4000
    assert not report.crashes and not report.actions
    assert report.read > 20 and report.peak_memory_growth_mb < 200
