from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.common.yaml_text import MAX_BYTES, parse_yaml, read_yaml
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
