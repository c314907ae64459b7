"""Small safetensors files with a JSON description, such as latents and pose tracks; untrusted.

Everything is checked before memory is taken: the file's size, its description, and the names,
shapes and types of its tensors; and then the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from stylefacev_cli.common.files import write_file, writing
from stylefacev_cli.common.untrusted.pieces import open_piece
from stylefacev_cli.common.untrusted.safetensors_file import NotSafetensors, read_safetensors
from stylefacev_cli.errors import IntegrityError, UsageError

MAX_DESCRIPTION = 2**20  # characters
_MAX_DEPTH = 32  # of a description, which is written into others; ours have up to 6 levels
_MAX_NUMBER = 1e4  # poses, appearances and ws are of the order of 1

F32 = NDArray[np.float32]


class Header(NamedTuple):
    """Shape and type of a tensor, as the file's header says."""

    shape: tuple[int, ...]
    kind: str  # F32, F16 …


Headers = Mapping[str, Header]


class TensorFile(NamedTuple):
    """A kind of tensor file: its name, metadata key and version.

    Attributes:
        kind: what people call it, such as `pose track`.
        key: of the metadata under which its description stands, one JSON text.
        format: the version that the description has to name.
    """

    kind: str
    key: str
    format: int

    def write(self, path: Path, tensors: Mapping[str, F32], about: Mapping[str, Any]) -> None:
        """Write a file; it bears its name only when it is whole, and equal ones are equal bytes.

        Raises:
            StyleFaceVError: it cannot be written.
        """
        whole = {name: np.ascontiguousarray(values, np.float32) for name, values in tensors.items()}
        description = json.dumps({"format": self.format, **about})
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, save(whole, metadata={self.key: description}))

    def read(
        self, path: Path, max_bytes: int, check: Callable[[Headers, dict[str, Any]], None]
    ) -> tuple[dict[str, F32], dict[str, Any]]:
        """Read a file.

        Args:
            path: of the file.
            max_bytes: that one of this kind can have.
            check: is given names, shapes and types, and the description, before any tensor is
                read; raises IntegrityError.

        Returns:
            The tensors, finite and of sane size, and the description.

        Raises:
            UsageError: there is no such file.
            IntegrityError: it is of another kind, or damaged.
        """
        if not path.is_file():
            raise UsageError(f"no such {self.kind}: {path}")
        try:
            file = read_safetensors(open_piece(path, max_bytes))
            about = self._description(path, file.metadata.get(self.key))
            check({name: Header(one.shape, one.kind) for name, one in file.entries.items()}, about)
            tensors = {name: file.array(name) for name in file.entries}
        except (NotSafetensors, OSError) as error:
            raise IntegrityError(f"{path} is no {self.kind}, or damaged: {error}") from error
        for name, numbers in tensors.items():
            if not np.isfinite(numbers).all() or np.abs(numbers).max(initial=0) > _MAX_NUMBER:
                raise IntegrityError(f"{path}: {name} holds numbers that no face has")
        return tensors, about

    def _description(self, path: Path, text: str | None) -> dict[str, Any]:
        if text is None or len(text) > MAX_DESCRIPTION:
            raise IntegrityError(f"{path} is no {self.kind}: it lacks its description")
        try:
            about = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise IntegrityError(f"{path}: its description is damaged") from error
        if _depth(about) > _MAX_DEPTH:
            raise IntegrityError(f"{path}: its description is nested too deeply")
        if not isinstance(about, dict) or about.get("format") != self.format:
            raise IntegrityError(f"{path}: not a {self.kind} of format {self.format}")
        return about


def _depth(value: Any) -> int:
    """Levels of containers in plain values, counted no further than matters."""
    level, parts = 0, [value]
    while parts and level <= _MAX_DEPTH:
        containers = [part for part in parts if isinstance(part, dict | list)]
        parts = [
            item
            for part in containers
            for item in (part.values() if isinstance(part, dict) else part)
        ]
        level += bool(containers)
    return level
