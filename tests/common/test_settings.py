from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.common.settings import MAX_BYTES, parse_value, parse_yaml, read_yaml
from stylefacev_cli.errors import UsageError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=4))
def test_what_is_written_is_read(content: dict[str, object]) -> None:
    plain = yaml.Dumper
    plain.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
    assert parse_yaml(yaml.dump(content, Dumper=plain).encode(), "f") == content


@given(st.binary(max_size=60))
def test_any_bytes_are_a_mapping_or_one_line_of_error(data: bytes) -> None:
    try:
        assert isinstance(parse_yaml(data, "f.yaml"), dict)
    except UsageError as error:
        assert "f.yaml" in str(error)
        assert "\n" not in str(error)


def test_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    with pytest.raises(UsageError, match="cannot read"):
        read_yaml(path)
    for content in ("[1, 2]", "a: [", "\x00", "a: 1\na: 2", "1: 2", "a: !!python/name:os.system x"):
        path.write_text(content)
        with pytest.raises(UsageError, match=r"f\.yaml") as caught:
            read_yaml(path)
        assert "\n" not in str(caught.value)
    path.write_text("a" * (MAX_BYTES + 1))
    with pytest.raises(UsageError, match="too long"):
        read_yaml(path)


def test_aliases_only_where_allowed(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: &mark {b: 1}\nc: {<<: *mark, d: 2}\n")
    assert read_yaml(path, aliases=True)["c"] == {"b": 1, "d": 2}
    with pytest.raises(UsageError, match="aliases"):
        read_yaml(path)


@pytest.mark.parametrize(
    "text",
    ["!!bool foo", "!!int ''", "!!timestamp x", "!!map [a]", "!!set {a}", "!!binary x", "!own a",
     "!!float 1", "!!str 1", '"\\ud800"', '"\\UFFFFFFFF"', '"\\q"', "0x" + "f" * 5000, "9" * 5000,
     "&a [*a]", "{? [a] : b}", "{? {a: b} : c}", "{123456789012345678: a}"],
)  # fmt: skip
def test_odd_values_are_refused_in_one_line(text: str) -> None:
    for aliases in (False, True):
        with pytest.raises(UsageError, match="here") as caught:
            parse_yaml(f"a: {text}".encode(), "here", aliases=aliases)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1:30", "1:30"), ("12:30:45", "12:30:45"), ("2026-11-30", "2026-11-30"), ("yes", "yes"),
     ("on", "on"), ("017", "017"), ("0b11", "0b11"), ("0x1F", 31), ("1_000", 1000), ("true", True),
     ("1.5e+3", 1500.0), (".5", 0.5), ("~", None), ("null", None), ("", None), ("-3", -3)],
)  # fmt: skip
def test_values_of_the_core_schema(text: str, value: Any) -> None:
    found = parse_value(text.encode(), "here")
    assert found == value and type(found) is type(value)


@given(PLAIN | st.floats(allow_nan=False))
def test_what_yaml_writes_is_read_as_it_was(value: Any) -> None:
    assert parse_value(yaml.safe_dump([value, str(value)]).encode(), "f") == [value, str(value)]


def test_floods_end_soon() -> None:
    """Keys, numbers as keys that collide, and aliases of aliases."""
    levels = "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 12))
    merges = "".join(
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
    )
    floods = {
        "keys": "".join(f"k{i}: 1\n" for i in range(60_000)),
        "numbers": "a:\n" + "".join(f" {i * (2**61 - 1)}: 1\n" for i in range(1, 9_000)),
        "aliases": f"b0: &b0 [x]\n{levels}",
        "merges": f"m0: &m0 {{x: 1}}\n{merges}",
        "depth": "a: " + "[" * 200_000,
    }
    for name, text in floods.items():
        started_s = time.process_time()
        if name == "keys":
            assert len(parse_yaml(text.encode(), name)) == 60_000
        else:
            with pytest.raises(UsageError):
                parse_yaml(text.encode(), name, aliases=True)
        assert time.process_time() - started_s < 60, name
