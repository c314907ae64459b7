"""What snapshots of StyleGAN-V and DIGAN hold beyond those of StyleGAN3: names and settings.

Their settings are objects of omegaconf. Here those are inert records as all others; the settings
are read out of the records' states: a leaf has `_val`, a section or list `_content`, and each one
its `_parent`, by which references such as `${dataset.fps}` are followed from the root.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, Record, shown

_LEAF = "omegaconf.nodes.AnyNode"
SECTION, _LIST = "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"
INERT_NAMES = {  # classes whose objects become records and are never imported
    _LEAF,
    SECTION,
    _LIST,
    "omegaconf.base.Metadata",
    "omegaconf.base.ContainerMetadata",
    "torch.optim.adam.Adam",
    "torch.distributions.beta.Beta",
    "torch.distributions.dirichlet.Dirichlet",
    *(f"{top}training.layers.TemporalDifferenceEncoder" for top in ("", "src.")),
}
CONSTANT_NAMES = (  # types that are named in the settings' descriptions, and never called
    "typing.Any",
    *(f"builtins.{name}" for name in ("dict", "list", "int")),
    *(f"__builtin__.{name}" for name in ("dict", "list", "int", "long")),
)
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)\}")
_MAX_DEPTH = 12
_MAX_ENTRIES = 2000
_MAX_STEPS_UP = 16


class Sink(dict[Any, Any]):
    """A dictionary that keeps nothing, whatever its keys: the state of an optimiser."""


def sink(arguments: tuple[Any, ...]) -> Sink:
    """A `defaultdict`: its items are dropped, since an optimiser has tensors as keys."""
    del arguments
    return Sink()


def type_name(path: str) -> Callable[[tuple[Any, ...]], object]:
    """The meaning of a type that settings name: nothing may call it."""

    def refuse(arguments: tuple[Any, ...]) -> object:
        del arguments
        raise PickleRefused(f"it calls {path}")

    return refuse


def is_settings(value: object) -> bool:
    """Whether a value is a section or a list of omegaconf."""
    return isinstance(value, Record) and value.path in (SECTION, _LIST)


def plain_settings(record: Record) -> Any:
    """A section or list of omegaconf as plain values, with what references lead to.

    A reference to something that the file does not hold stays the text that it is.

    Raises:
        PickleRefused: it is malformed, too deep or too long.
    """
    return _Reader().value(record, 0)


class _Reader:
    """Reads settings, of which a file can hold but so many."""

    def __init__(self) -> None:
        self.left = _MAX_ENTRIES

    def value(self, node: object, depth: int) -> Any:
        """A node as plain values."""
        self.left -= 1
        if depth > _MAX_DEPTH or self.left < 0:
            raise PickleRefused("its settings are nested too deeply")
        if not isinstance(node, Record):
            return _scalar(node)
        content = _state(node).get("_content")
        if node.path == _LEAF:
            leaf = _state(node).get("_val")
            target = _target(node, leaf)
            return _scalar(leaf) if target is None else self.value(target, depth + 1)
        if node.path == SECTION and isinstance(content, dict):
            return {str(key): self.value(item, depth + 1) for key, item in content.items()}
        if node.path == _LIST and isinstance(content, list):
            return [self.value(item, depth + 1) for item in content]
        if node.path in (SECTION, _LIST):  # null, or a reference to a whole section
            target = _target(node, content)
            return _scalar(content) if target is None else self.value(target, depth + 1)
        raise PickleRefused(f"its settings hold a {shown(node.path)}")


def _state(node: Record) -> dict[Any, Any]:
    if not isinstance(node.state, dict):
        raise PickleRefused("its settings are malformed")
    return node.state


def _scalar(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise PickleRefused("its settings hold something that is no plain value")


def _target(node: Record, text: object) -> object | None:
    """The node that a text like `${a.b}` refers to; None if it is none, or leads nowhere."""
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) and len(text) < 200 else None
    if match is None:
        return None
    root = node
    for _ in range(_MAX_STEPS_UP):
        parent = _state(root).get("_parent")
        if not isinstance(parent, Record):
            break
        root = parent
    found: object = root
    for key in match[1].split("."):
        content = _state(found).get("_content") if isinstance(found, Record) else None
        if not isinstance(content, dict) or key not in content:
            return None
        found = content[key]
    return found
