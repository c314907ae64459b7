"""Mutated checkpoints, bundles, YAML, tracks and archives through their readers; faults, as JSON.

    PYTHONPATH=tests/support python -m tests.fuzz.weights_fuzz FOLDER --count 12000 --seed 0

A process of its own: time and memory of one run are those of the files it made. Files that showed a
fault stay in FOLDER. An audit hook sees whether anything was run, imported or opened on the way.
"""

from __future__ import annotations

import codecs
import contextlib
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from tiny import TINY_FPS, tiny_networks

from stylefacev_cli.common.settings import parse_value
from stylefacev_cli.common.untrusted.npz_file import read_npz
from stylefacev_cli.common.untrusted.tar_file import tar_members
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.motion.pose_tracks import read_track
from stylefacev_cli.training.engine.checkpoint import read_state
from stylefacev_cli.weights.architectures import read_configs
from stylefacev_cli.weights.bundle import load_bundle, save_bundle
from stylefacev_cli.weights.convert.archive_files import files_of_archive
from stylefacev_cli.weights.manifest import read_manifest
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint
from tests.fuzz.command import keep_fault, run_command
from tests.fuzz.weights_seeds import make_kinds, with_fitting_hash

MAX_S = 20
MAX_BYTES = 2**30  # above the size of the file
SHARES = {  # of each kind among all files; bundles that are loaded whole take longest
    **{"torch": 16, "legacy": 12, "snapshot": 12, "safetensors": 10, "npz": 6, "tar": 6},
    **{"archive": 3, "manifest": 10, "weights": 3, "yaml": 10, "track": 10, "training": 6},
}
# What readers have no reason to do; `open` of the file itself is theirs.
_FORBIDDEN = ("exec", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove")
_FORBIDDEN += ("os.rename", "os.mkdir", "os.rmdir", "subprocess.", "socket.", "ctypes.", "pty.")


@dataclass
class Found:
    """What a run showed; `faults` is empty where all is well."""

    files: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0  # of the processor
    most_bytes: int = 0  # beyond what the process had before
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class TooSlow(BaseException):
    """A reader took longer than any may."""


def fuzz(folder: Path, count: int, seed: int, names: list[str]) -> Found:
    """Read mutated files.

    Args:
        folder: for them.
        count: how many, all kinds together.
        seed: of the mutations.
        names: of kinds, see `SHARES`.
    """
    model = folder / "model"
    save_bundle(model, tiny_networks(), name="tiny", fps=TINY_FPS, licence="x", provenance={})
    kinds, readers = make_kinds(folder / "seeds", model), _readers(folder, model)
    rng, found, begin = np.random.default_rng(seed), Found(), time.monotonic()
    _watch(folder)
    for name in names:
        number = -(-count * SHARES[name] // sum(SHARES[each] for each in names))
        kind, (read, check) = kinds[name], readers[name]
        for data in kind.seeds:  # whole ones: read; imports on the way happen now
            path = folder / f"step-000000001{kind.suffix}"
            path.write_bytes(data)
            read(path)
        for data in kind.mutants(number, rng):
            path.write_bytes(data)
            _one(path, name, (read, check), found, folder)
    found.seconds = time.monotonic() - begin
    return found


Read = Callable[[Path], Any]
Check = Callable[[Path, Any], str | None]


def _one(path: Path, name: str, reader: tuple[Read, Check], found: Found, folder: Path) -> None:
    read, check = reader
    found.files += 1
    before, begin = _peak(), time.process_time()
    try:
        with _watched() as done, _ending():
            value = read(path)
        found.accepted[name] += 1
        if (told := check(path, value)) is not None:
            _note(found, path, folder, f"read, though another reader says: {told}")
    except StyleFaceVError as error:
        found.refused[name] += 1
        if "\n" in str(error) or error.exit_code not in (2, 3, 4, 5):
            _note(found, path, folder, f"not one line, or code {error.exit_code}: {error}")
    except TooSlow:
        _note(found, path, folder, "it took too long")
    except Exception:
        _note(found, path, folder, traceback.format_exc())
    if done:
        _note(found, path, folder, f"it did {done[:3]}")
    found.slowest_s = max(found.slowest_s, time.process_time() - begin)
    grown = _peak() - before
    found.most_bytes = max(found.most_bytes, grown)
    if grown > MAX_BYTES + path.stat().st_size:
        _note(found, path, folder, f"it took {grown / 2**20:.0f} MiB")


def _readers(folder: Path, model: Path) -> dict[str, tuple[Read, Check]]:
    manifest = (model / "bundle.yaml").read_bytes()

    def unpacked(path: Path) -> Any:
        return files_of_archive(path, Path(tempfile.mkdtemp(dir=folder)) / "unpacked", {})

    def manifest_read(path: Path) -> Any:
        shutil.copy(path, model / "bundle.yaml")
        found = read_manifest(model)
        return read_configs(found), load_bundle(model)

    def weights_read(path: Path) -> Any:
        data = path.read_bytes()
        (model / "motion.safetensors").write_bytes(data)
        fitting = with_fitting_hash(manifest, "motion.safetensors", data)
        (model / "bundle.yaml").write_bytes(fitting)
        return load_bundle(model)

    def yaml_read(path: Path) -> Any:
        with contextlib.suppress(UsageError):
            parse_value(path.read_bytes(), path.name)
        return parse_value(path.read_bytes(), path.name, aliases=True)

    return {
        "torch": (_checkpoint, _as_torch),
        "legacy": (_checkpoint, _as_torch),
        "snapshot": (_checkpoint, _nothing),
        "safetensors": (_checkpoint, _as_safetensors),
        "npz": (read_npz, _as_numpy),
        "tar": (lambda path: [(m.name, m.size) for m in tar_members(path)], _nothing),
        "archive": (unpacked, _nothing),
        "manifest": (manifest_read, _nothing),
        "weights": (weights_read, _as_safetensors_of_bundle),
        "yaml": (yaml_read, _nothing),
        "track": (read_track, _as_safetensors_of_bundle),
        "training": (read_state, _nothing),
    }


def _checkpoint(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path).load()


def _nothing(path: Path, value: Any) -> None:
    """There is no second reader."""


def _as_torch(path: Path, value: dict[str, torch.Tensor]) -> str | None:
    """Torch's own reader gives the same numbers, where it reads the file at all.

    It stops at damage of what nobody needs, and at newer pickles.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:
            return None
    return _difference(value, list(content.get("state_dict", content).values()))


def _as_safetensors(path: Path, value: dict[str, torch.Tensor]) -> str | None:
    try:
        return _difference(value, list(safetensors.torch.load_file(path).values()))
    except Exception as error:
        return str(error)[:200]


def _as_safetensors_of_bundle(path: Path, value: Any) -> str | None:
    try:
        safetensors.torch.load_file(path)
    except Exception as error:
        return str(error)[:200]
    return None


def _as_numpy(path: Path, value: dict[str, Any]) -> str | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:
        return str(error)[:200]
    same = list(arrays) == list(value) and all(
        arrays[name].tobytes() == value[name].tobytes() for name in arrays
    )
    return None if same else "other arrays"


def _difference(found: dict[str, torch.Tensor], expected: list[Any]) -> str | None:
    """Whether tensors have other bits, by their places: prefixes are taken off names."""
    if len(found) != len(expected):
        return f"{len(expected)} tensors, not {len(found)}"
    ordered = sorted(map(_bits, found.values()))
    return None if ordered == sorted(map(_bits, expected)) else "other numbers"


def _bits(tensor: torch.Tensor) -> tuple[str, bytes]:
    whole = tensor.detach().contiguous()
    data = whole.reshape(-1).view(torch.uint8).numpy().tobytes() if whole.numel() else b""
    return f"{whole.dtype} {tuple(whole.shape)}", data


_done: list[str] = []
_is_watching = False


def _watch(folder: Path) -> None:
    """Look at what is done outside of a folder, from now on; a hook cannot be taken off."""

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        if _is_watching and event.startswith(_FORBIDDEN) and str(folder) not in str(arguments):
            _done.append(f"{event} {arguments!r}"[:120])

    for name in ("cp437", "latin-1", "raw_unicode_escape", "utf-8"):
        codecs.lookup(name)  # they are imported at their first use
    sys.addaudithook(see)


@contextlib.contextmanager
def _watched() -> Iterator[list[str]]:
    global _is_watching
    _done.clear()
    _is_watching = True
    try:
        yield _done
    finally:
        _is_watching = False


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Break off what takes the processor too long."""

    def give_up(number: int, frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, MAX_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _note(found: Found, path: Path, folder: Path, fault: str) -> None:
    keep_fault(found.faults, path, folder, f"{len(found.faults)}{path.suffix}", fault)


if __name__ == "__main__":
    run_command(fuzz, __doc__, 12_000, "kinds", list(SHARES))
