from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.config import build, read_yaml, to_plain, with_overrides


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    flag: bool = False
    limit: float | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None

    def __post_init__(self) -> None:
        if self.count <= 0:
            raise UsageError("count must be positive")


def test_nested_values_are_built_and_come_back() -> None:
    values = {"name": "a", "limit": 2, "inner": {"sizes": [3]}, "other": {}, "pair": [1, 2]}
    made = build(Outer, values, "f.yaml")
    assert made == Outer("a", limit=2.0, inner=Inner(sizes=(3,)), other=Inner(), pair=(1.0, 2.0))
    assert build(Outer, to_plain(made), "f.yaml") == made


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "f.yaml: the key 'name' is missing"),
        ({"name": "a", "cuont": 1}, "f.yaml: unknown key 'cuont'; known are name, count"),
        ({"name": "a", "inner": {"x": 1}}, "f.yaml.inner: unknown key 'x'"),
        ({"name": "a", "inner": 3}, "f.yaml.inner must be a section"),
        ({"name": 1}, "f.yaml.name must be a text, not 1"),
        ({"name": "a", "count": 1.5}, "f.yaml.count must be a whole number"),
        ({"name": "a", "count": True}, "f.yaml.count must be a whole number"),
        ({"name": "a", "pair": [1]}, "f.yaml.pair must have 2 entries, not 1"),
        ({"name": "a", "inner": {"sizes": 3}}, "f.yaml.inner.sizes must be a list"),
        ({"name": "a", "count": 0}, "f.yaml: count must be positive"),
    ],
)
def test_wrong_settings_are_told_in_one_line(values: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(Outer, values, "f.yaml")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_else_is_a_usage_error(values: object) -> None:
    with pytest.raises(UsageError):
        build(Outer, values, "f.yaml")


def test_overrides() -> None:
    settings = {"name": "a", "inner": {"rate": 1.0}}
    changed = with_overrides(settings, ["inner.rate=2", "count=7", "other.sizes=[4, 5]"])
    assert changed == {
        "name": "a", "count": 7, "inner": {"rate": 2}, "other": {"sizes": [4, 5]},
    }  # fmt: skip
    assert settings["inner"] == {"rate": 1.0}
    for wrong in ("count", "=3", "name.x=1", "a.=1", "count=["):
        with pytest.raises(UsageError, match="--set"):
            with_overrides(settings, [wrong])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    with pytest.raises(UsageError, match="cannot read"):
        read_yaml(path)
    for content in ("[1, 2]", "a: [", "\x00"):
        path.write_text(content)
        with pytest.raises(UsageError, match=r"f\.yaml") as caught:
            read_yaml(path)
        assert "\n" not in str(caught.value)
