"""Reading YAML from users and from strangers: plain values only, never code.

Source of the two refusals: an alias lets a small file stand for a huge one, and of a key that is
there twice YAML readers take the last without a word.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from stylefacev_cli.errors import UsageError

MAX_BYTES = 2**20
_MAX_REASON = 200


def read_yaml(path: Path, *, aliases: bool = False) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty file is an empty one.

    Raises:
        UsageError: it cannot be read, is too long, is no YAML or holds something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is too long for a file of settings")
    return parse_yaml(data, str(path), aliases=aliases)


def parse_yaml(data: bytes, where: str, *, aliases: bool = False) -> dict[str, Any]:
    """The mapping that a YAML text holds; an empty text is an empty one.

    Args:
        data: the text, UTF-8.
        where: what it is, for messages.
        aliases: whether `*name` may repeat what `&name` marks: in users' own files only.

    Raises:
        UsageError: it is no YAML, has a key twice or a forbidden alias, or holds something else.
    """
    loader = _StrictLoader if aliases else _NoAliasLoader
    try:
        content = yaml.load(data.decode("utf-8"), Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise UsageError(f"{where} is not valid YAML: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{where} must hold one `key: value` per line")
    return content


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without double keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if isinstance(key, str) and keys.count(key) > 1 and key != "<<":
                raise yaml.YAMLError(f"the key {key!r} is there twice")
        return super().construct_mapping(node, deep)


class _NoAliasLoader(_StrictLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)
