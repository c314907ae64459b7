"""Files of weights: torch's two formats and safetensors, and whatever else bears their names."""

from __future__ import annotations

import io
import os
import re
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
        (b"", "no safetensors, torch or StyleGAN3 file"),
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
