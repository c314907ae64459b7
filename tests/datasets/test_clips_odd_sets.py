"""Sets that are not what they seem: each ends in one line, before any work."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from stylefacev_cli.datasets.clips import ClipEntry, ClipSet, write_clip
from stylefacev_cli.datasets.inspection import inspect_set
from stylefacev_cli.datasets.requests import InspectRequest
from stylefacev_cli.datasets.source_report import Prepared, to_line
from stylefacev_cli.datasets.videos import open_videos
from stylefacev_cli.errors import DataError, IntegrityError, StyleFaceVError, UsageError
from stylefacev_cli.training.batches.reading import load_frames, rendering_of
from stylefacev_cli.training.card import set_facts

SIDE, LENGTH = 16, 4


def make_set(folder: Path) -> Path:
    lines, sources = [], []
    for i in range(2):
        entry = ClipEntry(
            f"{i}", f"clips/{i}.png", f"clips/{i}.npz", LENGTH, SIDE, 25.0, i, "clip", f"{i}.mp4"
        )
        labels = {
            "landmarks": np.full((LENGTH, 98, 2), 0.5, np.float32),
            "factors": np.zeros((LENGTH, 12), np.float32),
            "head_pose": np.zeros((LENGTH, 3), np.float32),
        }
        write_clip(folder, entry, np.zeros((LENGTH, SIDE, SIDE, 3), np.uint8), labels)
        lines.append(entry.to_line())
        sources.append(to_line(Prepared(f"{i}.mp4", [entry], [["a", "b"]])))
    (folder / "index.jsonl").write_text("".join(lines))
    (folder / "sources.jsonl").write_text("".join(sources))
    (folder / "manifest.yaml").write_text("licence: CC0\nsettings:\n  framing: canonical\n")
    return folder


def read_all(folder: Path) -> None:
    """What `data inspect`, `train` and `eval` read of a set."""
    inspect_set(InspectRequest(folder, check=True, poses=True))
    set_facts(folder), rendering_of([folder])
    load_frames([folder], SIDE, 0)
    for video in open_videos(folder).videos:
        video.read(0, 1, 2)


def index_line(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        first, *others = (folder / "index.jsonl").read_text().splitlines()
        line = json.dumps({**json.loads(first), **changes})
        (folder / "index.jsonl").write_text("\n".join([line, *others]) + "\n")

    return spoil


def text_of(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass")) and None
    )


def arrays(**labels: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        np.savez(folder / "clips/0.npz", **labels)

    return spoil


def bomb(folder: Path) -> None:
    """300 MB of zeros in some 300 KB."""
    with zipfile.ZipFile(folder / "clips/0.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("landmarks.npy", "w") as part:
            np.lib.format.write_array_header_1_0(
                part, {"descr": "<f4", "fortran_order": False, "shape": (LENGTH, 98, 191_326)}
            )
            for _ in range(300):
                part.write(bytes(10**6))


def huge_claim(folder: Path) -> None:
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        data, {"descr": "<f8", "fortran_order": False, "shape": (LENGTH, 10**12)}
    )
    with zipfile.ZipFile(folder / "clips/0.npz", "w") as archive:
        archive.writestr("landmarks.npy", data.getvalue())


def make_pipe(folder: Path) -> None:
    (folder / "clips/0.png").unlink()
    os.mkfifo(folder / "clips/0.png")


def make_folder(folder: Path) -> None:
    (folder / "clips/0.npz").unlink()
    (folder / "clips/0.npz").mkdir()


def double_line(folder: Path) -> None:
    index = folder / "index.jsonl"
    index.write_text(index.read_text() * 2)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)

ODD_SETS = {
    "torn line": text_of("index.jsonl", '{"id": "0", '),
    "empty index": text_of("index.jsonl", ""),
    "deep line": text_of("index.jsonl", "[" * 20_000),
    "long number": text_of("index.jsonl", "9" * 5000),
    "long line": text_of("index.jsonl", json.dumps({"id": "x" * 100_000})),
    "not utf-8": lambda folder: (folder / "index.jsonl").write_bytes(b"\xff\xfe") and None,
    "number as id": index_line(id=7),
    "no id": index_line(id=None),
    "half a character": index_line(id="\ud800"),
    "list as file": index_line(file=["a"]),
    "list as kind": index_line(kind=["clip"]),
    "list as split": index_line(split=["val"]),
    "absolute path": index_line(file="/etc/passwd"),
    "path above": index_line(labels="../../x.npz"),
    "null in a path": index_line(file="a\0b.png"),
    "long path": index_line(file="a" * 5000),
    "no such file": index_line(file="clips/none.png"),
    "the folder itself": index_line(file="."),
    "text as number": index_line(num_frames="4"),
    "true as number": index_line(num_frames=True),
    "huge length": index_line(num_frames=10**12),
    "huge size": index_line(size_px=10**9),
    "huge person": index_line(identity=10**40),
    "negative person": index_line(identity=-1),
    "fps of an age": index_line(fps=1e-10),
    "fps not finite": index_line(fps=float("nan")),
    "fps true": index_line(fps=True),
    "person a number": index_line(person=3),
    "listed twice": double_line,
    "one file twice": index_line(file="clips/1.png"),
    "NaN in poses": arrays(head_pose=np.full((LENGTH, 3), np.nan)),
    "infinite landmarks": arrays(landmarks=np.full((LENGTH, 98, 2), np.inf)),
    "short labels": arrays(landmarks=np.zeros((1, 98, 2))),
    "flat factors": arrays(factors=np.zeros(LENGTH)),
    "one number": arrays(landmarks=np.array(1.0)),
    "wrong landmarks": arrays(landmarks=np.zeros((LENGTH, 97, 2))),
    "wrong head pose": arrays(head_pose=np.zeros((LENGTH, 5))),
    "texts as labels": arrays(landmarks=np.full((LENGTH, 98, 2), "x")),
    "pickled labels": arrays(landmarks=np.array([{}] * LENGTH, object)),
    "bomb of labels": bomb,
    "huge claim of labels": huge_claim,
    "no archive": text_of("clips/0.npz", "PK"),
    "a pipe": make_pipe,
    "a folder": make_folder,
    "aliases": text_of("manifest.yaml", ALIASES),
    "tags": text_of("manifest.yaml", "settings: !!python/object/apply:os.getcwd []"),
    "list as manifest": text_of("manifest.yaml", "[1, 2]"),
    "damaged report": text_of("sources.jsonl", '{"source": 3}\n'),
    "report of numbers": text_of(
        "sources.jsonl", '{"source": "a", "clips": [], "sha256": [[3]], "skipped": []}'
    ),
    "report without reasons": text_of(
        "sources.jsonl", '{"source": "a", "clips": [], "sha256": [], "skipped": [{}]}'
    ),
    "report a list": text_of("sources.jsonl", "[]"),
}


@pytest.mark.parametrize("name", ODD_SETS)
def test_odd_sets_end_in_one_line(tmp_path: Path, name: str) -> None:
    read_all(make_set(tmp_path))
    ODD_SETS[name](tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises((UsageError, DataError, IntegrityError)) as raised:
            read_all(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "settings: 3", "settings: [a]", "settings: {framing: [1]}", "recipe: {a: b}", "columns: 3",
        "factor_blocks: {pose: 3}", "content_sha256: null", "licence: [a, b]", "",
    ],
)  # fmt: skip
def test_what_a_manifest_may_say(tmp_path: Path, text: str) -> None:
    make_set(tmp_path)
    (tmp_path / "manifest.yaml").write_text(text)
    read_all(tmp_path)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=20),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.none()),
)  # fmt: skip
FIELDS = st.sampled_from([*ClipEntry.__dataclass_fields__, "other"])
FILES = ("index.jsonl", "manifest.yaml", "sources.jsonl", "clips/0.npz", "clips/0.png")


@st.composite
def spoiled(draw: st.DrawFn, contents: dict[str, bytes]) -> tuple[str, bytes]:
    """A file of the set, and what it holds instead."""
    name = draw(st.sampled_from(FILES))
    content = bytearray(contents[name])
    if name == "index.jsonl" and draw(st.booleans()):
        values = json.loads(contents[name].splitlines()[0])
        values |= draw(st.dictionaries(FIELDS, VALUES, min_size=1, max_size=3))
        return name, json.dumps(values).encode() + b"\n"
    for _ in range(draw(st.integers(1, 6))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    end = draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    return name, bytes(content[:end])


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("set"))


@how(
    max_examples=int(os.environ.get("STYLEFACEV_FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_spoiled_file_is_a_bug(small_set: Path, data: st.DataObject) -> None:
    contents = {name: (small_set / name).read_bytes() for name in FILES}
    name, content = data.draw(spoiled(contents))
    (small_set / name).write_bytes(content)
    try:
        read_all(small_set)
    except StyleFaceVError as error:
        assert error.exit_code in (2, 4, 5)
        assert "\n" not in str(error)
    finally:
        (small_set / name).write_bytes(contents[name])


def test_lines_are_split_at_line_ends_alone(tmp_path: Path) -> None:
    make_set(tmp_path)
    person = "a\u2028b\x85c"
    first, second = ClipSet(tmp_path).entries
    named = ClipEntry(**{**first.__dict__, "person": person})
    (tmp_path / "index.jsonl").write_text(named.to_line() + second.to_line())
    assert ClipSet(tmp_path).entries[0].person == person
