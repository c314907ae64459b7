"""Small files of every untrusted kind that is no medium, and the mutations that fit their forms.

A plain mutation of a zip is found by its checksums: so what lies inside is mutated too, and packed
again with lengths and checksums that fit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_unpickle
import numpy as np
import torch
import yaml
from persistence_pickles import EasyDict, persistent, snapshot_bytes
from safetensors.torch import save as save_tensors
from tiny import tiny_networks
from torch import nn

from stylefacev_cli.motion.pose_tracks import PoseTrack, write_track
from stylefacev_cli.training.engine.checkpoint import (
    DIGEST_BYTES,
    MAGIC,
    random_states,
    write_checkpoint,
)
from tests.fuzz.mutations import Random, mutated

Mutate = Callable[[bytes, bytes, Random], bytes]
_ODD_WORDS = (
    *("!!bool foo", "!!int ''", "!!python/object:os.system x", "!!timestamp x", "!!map [a]"),
    *("&a [*a, *a]", "*a", "<<: {}", "? [a]", "0x" + "f" * 99, "9" * 99, "1:30:00", ".nan"),
    *(".inf", "-.inf", "1e999", "'\\ud800'", '"\\ud800"', '"\\xzz"', "~", "[]", "{}", "-1", "0"),
    *("[[[[[[[[", "{{{{{{", "- - - -", "65536", "65535", "1e-320", "2001-01-01", "\t", "|", ">"),
    *("%YAML 9.9\n---", "---\n---", "\x00", "\x1b[2J", "true", "'", '"', "a: " * 9),
)


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name's end, whole examples, and how they are mutated."""

    suffix: str
    seeds: tuple[bytes, ...]
    mutations: tuple[Mutate, ...] = (mutated,)

    def mutants(self, count: int, rng: Random) -> Iterator[bytes]:
        """Mutated copies of the examples; the first ones are whole."""
        yield from self.seeds[:count]
        for number in range(count - len(self.seeds)):
            data = self.seeds[number % len(self.seeds)]
            other = self.seeds[int(rng.integers(len(self.seeds)))]
            for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
                data = self.mutations[int(rng.integers(len(self.mutations)))](data, other, rng)
            yield data


def make_kinds(folder: Path, model: Path) -> dict[str, Kind]:
    """Every kind, by name.

    Args:
        folder: for files on the way.
        model: a small bundle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    views = {
        **state,
        "view": state["0.weight"][1:, :2].permute(1, 0, 2, 3),
        "same": state["0.bias"],
    }
    manifest = (model / "bundle.yaml").read_bytes()
    return {
        "torch": Kind(".pth", (_saved(state), _saved({"state_dict": views, "epoch": 3})), _ZIP),
        "legacy": Kind(".pth", (_saved(state, False), _saved(views, False, 4)), _PICKLE),
        "snapshot": Kind(".pkl", tuple(_snapshot(number) for number in (2, 3, 4, 5)), _PICKLE),
        "safetensors": Kind(".safetensors", (save_tensors(state, {"by": "x"}),), _TENSORS),
        "npz": Kind(".npz", (_arrays(np.savez), _arrays(np.savez_compressed)), _ZIP),
        "tar": Kind(".tar", tuple(_tar(form) for form in (0, 1, 2)), (mutated, _retarred)),
        "archive": Kind(".zip", (_archive(state),), _ZIP),
        "manifest": Kind(".yaml", (manifest,), _YAML),
        "weights": Kind(".safetensors", ((model / "motion.safetensors").read_bytes(),), _TENSORS),
        "yaml": Kind(".yaml", (manifest, b"a: &x [1, 2]\nb: *x\nc: {d: 1.5, e: null}\n"), _YAML),
        "track": Kind(".safetensors", tuple(_tracks(folder)), _TENSORS),
        "training": Kind(".ckpt", (_training(folder),), (_in_checkpoint,)),
    }


def _saved(content: Any, zipped: bool = True, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return buffer.getvalue()


def _snapshot(protocol: int) -> bytes:
    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.register_buffer("w_avg", torch.zeros(3))

    content = {"G_ema": persistent(Generator(), EasyDict(z_dim=2)), "D": nn.Linear(1, 1)}
    return snapshot_bytes(content, protocol)


def _arrays(save: Any) -> bytes:
    buffer = io.BytesIO()
    save(
        buffer, a=np.arange(6.0).reshape(2, 3), b=np.ones((3, 2), np.float32, "F"), c=np.array("x")
    )
    return buffer.getvalue()


def _tar(form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name in ("a.pth", "folder/b.pth", "x" * 90):
            info = tarfile.TarInfo(name if form == 0 else name * 3)
            info.size = 700
            tar.addfile(info, io.BytesIO(b"w" * 700))
    return buffer.getvalue()


def _archive(state: Mapping[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("models/generator.pt", "models/motion_net.pth", "../evil", "README"):
            archive.writestr(name.replace("../", "x/"), _saved(dict(state)))
    return buffer.getvalue()


def _tracks(folder: Path) -> Iterator[bytes]:
    poses = np.linspace(-1, 1, 5 * 64, dtype=np.float32).reshape(5, 1, 8, 8)
    points = np.full((5, 14, 2), 0.5, np.float32)
    origin = {"source": "x.mp4", "edits": [{"mirror": 1}]}
    whole = PoseTrack(poses, 25.0, "a" * 64, points, origin=origin)
    for track in (whole, PoseTrack(poses, 12.0, "b" * 64, loops=True)):
        write_track(folder / "a.safetensors", track)
        yield (folder / "a.safetensors").read_bytes()


def _training(folder: Path) -> bytes:
    network = tiny_networks().motion
    stage = {
        "architecture": {"motion": {}},
        "networks": {"motion": network.state_dict()},
        "others": {},
    }
    state = {"step": 1, "used_s": 1.5, "bad_steps": 0, "stage": stage, "random": random_states()}
    write_checkpoint(folder / "a.ckpt", state)
    return (folder / "a.ckpt").read_bytes()


def _rezipped(data: bytes, other: bytes, rng: Random) -> bytes:
    """One member is mutated, or gone, or twice there, or under another name; the rest fits."""
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            members = {info.filename: old.read(info) for info in old.infolist()}
            kinds = {info.filename: info.compress_type for info in old.infolist()}
    except Exception:
        return mutated(data, other, rng)
    names = sorted(members)
    if not names:
        return data
    chosen = names[int(rng.integers(len(names)))]
    pickles = [name for name in names if name.endswith("data.pkl")]
    if pickles and rng.random() < 0.7:
        chosen = pickles[0]
    action = int(rng.integers(8))
    with zipfile.ZipFile(made, "w") as new:
        for name, content in members.items():
            if name != chosen:
                new.writestr(name, content, kinds[name])
            elif action == 0:
                continue
            elif action == 1:
                new.writestr(name + "x", content, zipfile.ZIP_DEFLATED)
            elif action == 2:
                new.writestr(name, content + bytes(2**21), zipfile.ZIP_DEFLATED)
            elif name in pickles:
                new.writestr(name, _repickled(content, other, rng), kinds[name])
            else:
                new.writestr(name, mutated(content, other, rng), kinds[name])
    return made.getvalue()


def _repickled(data: bytes, other: bytes, rng: Random) -> bytes:
    """Instructions of a pickle in the place of others."""
    return fuzz_unpickle.mutated(data, random.Random(int(rng.integers(2**32))))


def _reheaded(data: bytes, other: bytes, rng: Random) -> bytes:
    """The header of a safetensors file is another JSON, and its length fits."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        name = sorted(header)[int(rng.integers(len(header)))]
        _spoil(header, name, rng)
        text = json.dumps(header).encode()
    except Exception:
        return mutated(data, other, rng)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _spoil(header: dict[str, Any], name: str, rng: Random) -> None:
    odd = [0, -1, 2**31, 2**63, 1e-320, -1e4, float("nan"), "F32", "", [], {}, None, True, [1] * 9]
    value = odd[int(rng.integers(len(odd)))]
    entry = header[name]
    if name == "__metadata__":
        key = next(iter(entry), "x")
        try:
            told = json.loads(entry[key])
            told[sorted(told)[int(rng.integers(len(told)))]] = value
            entry[key] = json.dumps(told)
        except Exception:
            entry[key] = value
    elif rng.random() < 0.2:
        header[name + "x"] = entry
    elif rng.random() < 0.2:
        header[name] = value
    else:
        key = ("dtype", "shape", "data_offsets")[int(rng.integers(3))]
        if isinstance(entry[key], list) and entry[key] and rng.random() < 0.6:
            entry[key][int(rng.integers(len(entry[key])))] = value
        else:
            entry[key] = value


def _reworded(data: bytes, other: bytes, rng: Random) -> bytes:
    """Words, lines and values of a text in the place of others."""
    lines = data.decode("utf-8", "replace").split("\n")
    at = int(rng.integers(len(lines)))
    word = _ODD_WORDS[int(rng.integers(len(_ODD_WORDS)))]
    match int(rng.integers(6)):
        case 0:
            lines[at] = lines[at].partition(":")[0] + ": " + word
        case 1:
            lines.insert(at, lines[int(rng.integers(len(lines)))])
        case 2:
            del lines[at]
        case 3:
            lines[at] = " " * int(rng.integers(6)) + lines[at].strip()
        case 4:
            lines[at] = (lines[at].partition(":")[0] + ": 1\n") * 50
        case _:
            lines.insert(at, word)
    return "\n".join(lines).encode("utf-8", "replace")


def _retarred(data: bytes, other: bytes, rng: Random) -> bytes:
    """A header is mutated, and its checksum fits again; sometimes all is packed."""
    made = bytearray(data)
    at = 512 * int(rng.integers(max(1, len(made) // 512)))
    header = bytearray(mutated(bytes(made[at : at + 512]), b"", rng)[:512].ljust(512, b"\0"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    made[at : at + 512] = header
    return gzip.compress(bytes(made), 1) if rng.random() < 0.2 else bytes(made)


def _in_checkpoint(data: bytes, other: bytes, rng: Random) -> bytes:
    """A training's checkpoint with another content, under a checksum that fits."""
    start = len(MAGIC) + DIGEST_BYTES
    change = mutated if rng.random() < 0.3 else _rezipped
    payload = change(data[start:], other[start:], rng)
    return MAGIC + hashlib.sha256(payload).digest() + payload


def with_fitting_hash(manifest: bytes, name: str, data: bytes) -> bytes:
    """A manifest that tells the hash of a changed file."""
    content = yaml.safe_load(manifest)
    content["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return yaml.safe_dump(content).encode()


_ZIP: tuple[Mutate, ...] = (mutated, _rezipped, _rezipped)
_PICKLE: tuple[Mutate, ...] = (mutated, _repickled)
_TENSORS: tuple[Mutate, ...] = (mutated, _reheaded, _reheaded)
_YAML: tuple[Mutate, ...] = (mutated, _reworded, _reworded, _reworded)
