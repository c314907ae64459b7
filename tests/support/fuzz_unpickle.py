"""Fuzz target of the pickle reader: mutated files and random instructions.

    python tests/support/fuzz_unpickle.py --inputs 200000

Every input has to be read or refused: another exception is a crash, and an audit hook sees
whether anything was run, imported or opened. Prints one JSON object: inputs, how many were read and
refused, crashes, peak memory, seconds.
"""

from __future__ import annotations

import argparse
import codecs
import io
import json
import pickle
import random
import resource
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from persistence_pickles import EasyDict, persistent, snapshot_bytes
from torch import nn

from stylefacev_cli.common.untrusted.pieces import piece_of
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused
from stylefacev_cli.weights.untrusted.reader import (
    read_legacy_torch,
    read_stylegan_pickle,
    read_torch_pickle,
)
from stylefacev_cli.weights.untrusted.stored_tensor import StoredTensor
from stylefacev_cli.weights.untrusted.stylegan_snapshot import averaged_generator

_FORBIDDEN = ("exec", "compile", "import", "open", "os.", "subprocess.", "socket.", "ctypes.")
_GLOBALS = [
    *(b"os\nsystem\n", b"builtins\neval\n", b"torch.storage\n_load_from_bytes\n"),
    *(b"collections\nOrderedDict\n", b"torch._utils\n_rebuild_tensor_v2\n"),
    b"torch\nFloatStorage\n",
    *(b"dnnlib.util\nEasyDict\n", b"builtins\nset\n", b"numpy.core.multiarray\nscalar\n"),
    b"torch_utils.persistence\n_reconstruct_persistent_obj\n",
]  # fmt: skip


@dataclass
class Report:
    """What has come of the inputs."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    crashes: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    longest_s: float = 0.0  # of the processor, for one input
    peak_memory_growth_mb: float = 0.0
    seconds: float = 0.0


def corpus() -> list[tuple[bytes, Callable[[bytes], Any]]]:
    """Small valid files of each kind, with what reads them."""

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.register_buffer("w_avg", torch.zeros(3))

    content = {"G_ema": persistent(Generator(), EasyDict(z_dim=2)), "D": nn.Linear(1, 1)}
    legacy, zipped = io.BytesIO(), io.BytesIO()
    state = nn.Linear(2, 2).state_dict()
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    torch.save(state, zipped)
    start = zipped.getvalue().index(b"\x80\x02")
    data_pkl = zipped.getvalue()[start : zipped.getvalue().index(b"PK", start)]
    data_pkl = data_pkl[: data_pkl.rindex(b".") + 1]
    snapshots = [(snapshot_bytes(content, protocol), read_snapshot) for protocol in (3, 4, 5)]
    return [*snapshots, (legacy.getvalue(), read_legacy), (data_pkl, read_data_pkl)]


def read_snapshot(data: bytes) -> None:
    load_all(averaged_generator(read_stylegan_pickle(piece_of(data))).tensors.values())


def read_legacy(data: bytes) -> None:
    content = read_legacy_torch(piece_of(data))
    load_all(content.values() if isinstance(content, dict) else [])


def read_data_pkl(data: bytes) -> None:
    read_torch_pickle(piece_of(data))


def load_all(values: Any) -> None:
    for value in values:
        if isinstance(value, StoredTensor) and value.num_bytes < 2**20:
            value.load()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A file with one to six faults."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice((1, 2, 4, 16, 64))
        kind = rng.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = changed[at : at + length]
        elif kind == 3:
            changed[at:at] = instructions(rng, rng.randint(1, 8))
        elif kind == 4:
            changed[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1)))
        elif kind == 5:
            del changed[at:]
        else:
            source = rng.randrange(len(changed) + 1)
            changed[at : at + length] = changed[source : source + length]
        if not changed:
            break
    return bytes(changed)


def instructions(rng: random.Random, count: int) -> bytes:
    """Instructions of a pickle, with arguments of the right form."""
    made = bytearray()
    for _ in range(count):
        made += rng.choice(_INSTRUCTIONS)(rng)
    return bytes(made)


def random_stream(rng: random.Random) -> bytes:
    """A pickle of random instructions that mostly keeps to its stack, so that it gets far."""
    made, marks = bytearray(b"\x80\x04"), [0]
    for _ in range(rng.randint(1, 120)):
        if rng.random() < 0.01:
            made += instructions(rng, 1)
            continue
        fitting = [step for step in _STEPS if step[1] <= marks[-1]]
        make, taken, given = rng.choice(fitting)
        made += make(rng)
        marks[-1] += given - taken
        if rng.random() < 0.05:
            made += b"("
            marks.append(0)
        elif len(marks) > 1 and rng.random() < 0.2:
            made += b"t"
            marks.pop()
            marks[-1] += 1
    return bytes(made) + b"."


def _plain(*codes: bytes) -> list[Callable[[random.Random], bytes]]:
    return [lambda rng, code=code: code for code in codes]  # type: ignore[misc]


_INSTRUCTIONS: list[Callable[[random.Random], bytes]] = [
    *_plain(*(bytes([code]) for code in b"N()]}0122tauesRRRbQ")),
    *_plain(*(bytes([code]) for code in b"\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94\x81")),
    lambda rng: b"K" + rng.randbytes(1),
    lambda rng: b"J" + rng.randbytes(4),
    lambda rng: b"G" + rng.randbytes(8),
    lambda rng: b"h" + bytes([rng.randrange(8)]),
    lambda rng: b"q" + bytes([rng.randrange(8)]),
    lambda rng: b"r" + rng.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x10")),
    lambda rng: b"j" + rng.randbytes(4),
    lambda rng: b"\x8c\x07storage",
    lambda rng: b"\x8c" + bytes([rng.randrange(4)]) + rng.randbytes(4),
    lambda rng: b"C\x04" + rng.randbytes(4),
    lambda rng: rng.choice((b"B", b"X")) + struct.pack("<I", rng.choice((0, 3, 2**31))) + b"abc",
    lambda rng: rng.choice((b"\x8e", b"\x96", b"\x8d", b"\x95")) + rng.randbytes(8),
    lambda rng: b"\x8a" + bytes([rng.randrange(40)]) + rng.randbytes(40),
    lambda rng: b"c" + rng.choice(_GLOBALS),
    lambda rng: b"c" + rng.choice(_GLOBALS) + b")R",
    lambda rng: rng.randbytes(1),
]  # fmt: skip


_STEPS: list[tuple[Callable[[random.Random], bytes], int, int]] = [  # with values taken and given
    *((make, 0, 1) for make in _plain(b"N", b")", b"]", b"}", b"\x8f", b"\x88", b"K\x02")),
    *((make, 0, 1) for make in _plain(b"\x8c\x04cpu!", b"C\x02ab", b"\x8c\x07storage")),
    *((make, 1, 1) for make in _plain(b"\x85", b"\x94", b"q\x01")),
    *((make, 1, 2) for make in _plain(b"2")),
    *((make, 2, 1) for make in _plain(b"\x86", b"a", b"b")),
    *((make, 3, 1) for make in _plain(b"\x87", b"s")),
    (lambda rng: b"c" + rng.choice(_GLOBALS), 0, 1),
    (lambda rng: b"c" + rng.choice(_GLOBALS[3:]) + b")R", 0, 1),
    (lambda rng: b"}\x8c\x01" + rng.randbytes(1) + b"K\x01s", 0, 1),
    (lambda rng: b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89NtR", 0, 1),
    (lambda rng: b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x04tQ", 0, 1),
    (lambda rng: b"ccollections\nOrderedDict\n]" + b"N" * 2 + b"\x86a\x85R", 0, 1),
    (lambda rng: b"\x8a\x0a" + rng.randbytes(10), 0, 1),
]  # fmt: skip


def fuzz(num_inputs: int, seed: int = 0) -> Report:
    """Try inputs; half of them mutations, half random instructions."""
    rng, report, files = random.Random(seed), Report(), corpus()
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith(_FORBIDDEN):
            report.actions.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(watch)
    for name in ("latin-1", "raw_unicode_escape", "utf-8"):
        codecs.lookup(name)  # the interpreter imports them at their first use
    for data, read in files:
        read(data)  # as they are, they are read; what is imported on the way is imported now
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.perf_counter()
    for number in range(num_inputs):
        data, read = rng.choice(files)
        data = mutated(data, rng) if number % 2 else random_stream(rng)
        one_s = time.process_time()
        watching = True
        try:
            read(data)
            report.read += 1
        except (PickleRefused, IntegrityError) as error:
            report.refused += 1
            if "\n" in str(error):
                report.crashes.append(f"more than one line: {error!r}")
        except Exception as error:
            report.crashes.append(f"{type(error).__name__}: {error} on {data.hex()}"[:2000])
        finally:
            watching = False
        report.longest_s = max(report.longest_s, time.process_time() - one_s)
        report.inputs += 1
    report.seconds = round(time.perf_counter() - began_s, 1)
    report.longest_s = round(report.longest_s, 4)
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report.peak_memory_growth_mb = round((after_kb - before_kb) / 1024, 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    assert pickle.HIGHEST_PROTOCOL >= 5
    report = fuzz(arguments.inputs, arguments.seed)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**vars(report), "peak_memory_mb": round(peak_mb, 1)}, indent=2))
    sys.exit(1 if report.crashes or report.actions else 0)


if __name__ == "__main__":
    main()
