"""Files of weights: torch's two formats and safetensors, and whatever else bears their names."""

from __future__ import annotations

import io
import os
import re
import resource
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.untrusted.foreign_file import TensorSpec, read_checkpoint
from stylefacev_cli.weights.untrusted.stored_tensor import ITEM_BYTES


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return network.state_dict()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_files_of_torch(
    tmp_path: Path, state: dict[str, torch.Tensor], legacy: bool, wrapped: bool, prefix: str
) -> None:
    content: Any = OrderedDict((prefix + name, tensor) for name, tensor in state.items())
    if wrapped:
        content = {"state_dict": content, "epoch": 3}
    path = tmp_path / "a.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(path)
    assert checkpoint.specs["0.weight"] == TensorSpec("float32", (4, 3, 3, 3))
    loaded = checkpoint.load()
    assert set(loaded) == set(checkpoint.specs) == set(state)
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    notes = " ".join(checkpoint.notes)
    assert ("'module.' was taken off 7 names" in notes) == bool(prefix)
    assert ("state_dict taken, left out: epoch" in notes) == wrapped


FORMS = {
    "plain": lambda x: x,
    "permuted": lambda x: x.permute(0, 2, 1),
    "strided": lambda x: x[:, 1:, ::2],
    "expanded": lambda x: x[:1, :1].expand(2, 3, 4),
    "one": lambda x: x[1, 2, 3],
    "empty": lambda x: x[:0],
    "again": lambda x: x,
    "last": lambda x: x[1:],
}


@pytest.mark.parametrize("dtype", sorted(ITEM_BYTES))
@pytest.mark.parametrize("protocol", [-1, 1, 2, 3, 4, 5])  # -1: the legacy format
def test_bits_are_those_of_torch_load(tmp_path: Path, dtype: str, protocol: int) -> None:
    random = torch.randint(0, 2**7, (2, 3, 4), generator=torch.Generator().manual_seed(1))
    whole = random.to(getattr(torch, dtype))
    if whole.is_floating_point():
        whole.view(-1)[:2] = torch.tensor([-0.0, 1e-42]).to(whole.dtype)
    state = {name: form(whole) for name, form in FORMS.items()}
    path, legacy = tmp_path / "a.pth", protocol < 0
    torch.save(
        state,
        path,
        pickle_protocol=2 if legacy else protocol,
        _use_new_zipfile_serialization=not legacy,
    )
    loaded = read_checkpoint(path).load()
    expected = state if protocol in (1, 3, 4, 5) else torch.load(path, weights_only=True)
    assert list(loaded) == list(state)
    for name, tensor in expected.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].shape == tensor.shape
        assert loaded[name].is_contiguous()
        assert bits(loaded[name]) == bits(tensor.contiguous()), name


def bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.reshape(-1).view(torch.uint8).numpy())


def test_legacy_files_in_every_protocol(tmp_path: Path) -> None:
    for protocol in (1, 2, 3, 4, 5):
        torch.save(
            {"a": torch.arange(3.0)},
            tmp_path / "a.pth",
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=False,
        )
        assert torch.equal(read_checkpoint(tmp_path / "a.pth").load()["a"], torch.arange(3.0))
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pth", pickle_protocol=0)
    with pytest.raises(IntegrityError, match="its protocol is 0, in which"):
        read_checkpoint(tmp_path / "a.pth")


def test_zips_without_checksums_and_of_the_other_order_of_bytes(tmp_path: Path) -> None:
    path, numbers = tmp_path / "a.pth", torch.tensor([1.0, -2.5])
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"x": numbers}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_checkpoint(path).load()["x"], numbers)
    torch.save({"x": numbers}, path)
    swapped = numbers.numpy().astype(">f4").tobytes()
    rewritten(path, {"data/0": swapped, "byteorder": b"big"})
    assert torch.equal(torch.load(path, weights_only=True)["x"], numbers)
    assert torch.equal(read_checkpoint(path).load()["x"], numbers)


def test_a_zip_with_two_directories_is_read_once(tmp_path: Path) -> None:
    """`zipfile` and torch find other members: what was checked has to be what is loaded."""
    honest, other, path = tmp_path / "b.pth", tmp_path / "c.pth", tmp_path / "a.pth"
    torch.save({"x": torch.ones(4)}, honest)
    torch.save({"x": torch.zeros(4)}, other)
    first, second = other.read_bytes(), honest.read_bytes()
    path.write_bytes(first + second)
    try:
        found = read_checkpoint(path).load()["x"]
    except IntegrityError:
        return
    with zipfile.ZipFile(path) as archive:  # the reader by which it was checked
        (name,) = (name for name in archive.namelist() if name.endswith("/data/0"))
        assert bits(found) == archive.read(name)


def test_storages_have_to_fit_their_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"x": torch.arange(100.0)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.arange(100.0).numpy().tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="checksum of 'a/data/0' in it does not fit"):
        read_checkpoint(path).load()


def test_a_sparse_file_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"x": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)
    with path.open("rb+") as file:
        file.truncate(2**32)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IntegrityError, match="bytes follow its storages"):
        read_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000
    with path.open("rb+") as file:
        file.truncate(2**32 + 1)
    with pytest.raises(IntegrityError, match="more than any file of its kind"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["_orig_mod.a", "_orig_mod.b"], ["'_orig_mod.' of torch.compile was taken off 2"]),
        (["module._orig_mod.a", "module._orig_mod.b"], ["_orig_mod", "prefix 'module.' was"]),
        (["_orig_mod.module.a", "_orig_mod.module.b"], ["_orig_mod", "prefix 'module.' was"]),
        (["a", "_orig_mod.b"], ["'_orig_mod.' of torch.compile was taken off 1 names"]),
    ],
)
def test_prefixes_of_wrappers(tmp_path: Path, names: list[str], told: list[str]) -> None:
    state = dict(zip(names, (torch.zeros(1), torch.ones(1)), strict=True))
    torch.save(state, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert set(checkpoint.specs) == {"a", "b"} and checkpoint.load()["b"] == 1
    assert all(text in " ".join(checkpoint.notes) for text in told)
    torch.save({"conv._orig_mod.w": torch.zeros(1), "v": torch.zeros(1)}, tmp_path / "b.pth")
    assert set(read_checkpoint(tmp_path / "b.pth").specs) == {"conv.w", "v"}
    torch.save({"_orig_mod.w": torch.zeros(1), "w": torch.zeros(1)}, tmp_path / "c.pth")
    with pytest.raises(IntegrityError, match="of one name, with and without"):
        read_checkpoint(tmp_path / "c.pth")


def test_a_prefix_of_some_names_stays(tmp_path: Path) -> None:
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "a.pth")
    assert set(read_checkpoint(tmp_path / "a.pth").specs) == {"module.a", "b"}


def test_safetensors(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "a.safetensors"
    save_file(state, path, metadata={"by": "a test"})
    checkpoint = read_checkpoint(path)
    loaded = checkpoint.load()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        read_checkpoint(path).load()


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_files_of_torch_is_refused(tmp_path: Path, legacy: bool) -> None:
    trap, path = tmp_path / "trap", tmp_path / "a.pth"
    content = {"a": torch.zeros(2), "b": Call(os.mkdir, str(trap))}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(IntegrityError, match=r"a\.pth is refused: it wants .*mkdir"):
        read_checkpoint(path)
    assert not trap.exists()


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    torch.save({"a": torch.tensor([1.0, torch.nan])}, tmp_path / "a.pth")
    with pytest.raises(IntegrityError, match="a holds numbers that are not finite"):
        read_checkpoint(tmp_path / "a.pth").load()


def test_a_file_that_changes_between_looking_and_loading(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    torch.save({"a": torch.zeros(5)}, tmp_path / "a.pth")
    os.utime(tmp_path / "a.pth", (1, 1))  # clocks of file systems are coarse
    with pytest.raises(IntegrityError, match="changed while it was read"):
        checkpoint.load()


def test_small_files_that_would_become_large(tmp_path: Path) -> None:
    shared = torch.zeros(1000)
    torch.save({f"{i}": shared for i in range(500)}, tmp_path / "a.pth")
    with pytest.raises(IntegrityError, match="bytes would become 2000000"):
        read_checkpoint(tmp_path / "a.pth")
    torch.save({"a": torch.zeros(1).expand(10**9)}, tmp_path / "b.pth")
    with pytest.raises(IntegrityError, match=r"\(4 GB\) is larger than its storage of 1"):
        read_checkpoint(tmp_path / "b.pth")


def rewritten(path: Path, change: dict[str, bytes | None], method: int = 0) -> None:
    """Write a zip again with members replaced, or left out (None)."""
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    members.update({f"a/{name}": data for name, data in change.items()})  # type: ignore[misc]
    with zipfile.ZipFile(path, "w", method) as new:
        for name, data in members.items():
            if data is not None:
                new.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data/0": b"x"}, "storage '0' has not the announced 4000 bytes"),
        ({"data/0": None}, "storage '0' has not the announced 4000 bytes"),
        ({"data.pkl": None}, "a zip, but not of torch weights"),
        ({"data.pkl": b"\x80\x02"}, "its end is missing"),
        ({"code/x.py": b"import os"}, "TorchScript, which holds code"),
    ],
)
def test_zips_are_looked_through(
    tmp_path: Path, change: dict[str, bytes | None], told: str
) -> None:
    path = tmp_path / "a.pth"
    torch.save({"x": torch.zeros(1000)}, path)
    rewritten(path, {})
    assert read_checkpoint(path).load()["x"].shape == (1000,)
    rewritten(path, change)
    with pytest.raises(IntegrityError, match=told):
        read_checkpoint(path)


def test_a_bomb_that_calls_itself_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"x": torch.zeros(5_000_000)}, path)
    rewritten(path, {}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(IntegrityError, match="would grow from|would unpack to"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (bytes(4096), "all zeros, the place kept for a download"),
        (b"\x1f\x8b\x08" + bytes(20), "packed by gzip"),
        (b'{"metadata": {}, "weight_map": {}}', "the index of weights that were split"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
        (bytes(257) + b"ustar" + bytes(250), "a tar archive"),
        (b"hello", "no safetensors, torch or StyleGAN3 file"),
        (b"<!DOCTYPE html><html>", "a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04 and then nothing", "no whole zip"),
        (struct.pack("<Q", 2**60) + b"{}", "its header is cut off"),
        (struct.pack("<Q", 2) + b"{}", "holds no tensors"),
        (struct.pack("<Q", 2) + b"{x", "its header is malformed"),
        (struct.pack("<Q", 9) + b'{"a": [1]}'[:9], "its header is malformed"),
        (b"\x80\x04}.", "it holds no G_ema"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(IntegrityError, match=told) as caught:
        read_checkpoint(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        '{"a": {"dtype": "F32", "shape": [100000000000], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [0.5], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}',
        '{"a": 1}',
        "[" * 5000,
    ],
)
def test_headers_of_safetensors(tmp_path: Path, header: str) -> None:
    data = struct.pack("<Q", len(header)) + header.encode() + bytes(4)
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(IntegrityError):
        read_checkpoint(tmp_path / "a.safetensors")


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    for content in ([torch.zeros(1)], {"a": [torch.zeros(1)]}, {1: torch.zeros(1)}):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(IntegrityError, match="state dict"):
            read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(MissingWeightsError, match=re.escape(str(tmp_path / "nothing.pth"))):
        read_checkpoint(tmp_path / "nothing.pth")


def test_a_truncated_file_of_torch(tmp_path: Path) -> None:
    for legacy in (False, True):
        buffer = io.BytesIO()
        torch.save({"a": torch.zeros(9)}, buffer, _use_new_zipfile_serialization=not legacy)
        data = buffer.getvalue()
        for length in range(1, len(data), 7):
            (tmp_path / "a.pth").write_bytes(data[:length])
            with pytest.raises(IntegrityError):
                read_checkpoint(tmp_path / "a.pth")
