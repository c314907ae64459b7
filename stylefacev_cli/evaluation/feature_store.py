"""Features that networks gave of sets of videos, kept so that they are computed only once.

    ~/.cache/stylefacev/features/<SHA-256 of all that they depend on>.safetensors

A file that cannot be read is as good as none. The folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stylefacev_cli.common.files import write_file
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.weights.downloads.cache import assets_folder

VERSION = 3  # of what is computed from the same key
_KEY = "key"
_FACTS = "facts"


@dataclass
class Gathered:
    """Features of the items of a set of videos, in the order in which they were taken.

    Attributes:
        rows: float32 [N, …].
        videos: the name of the video of each row.
        too_short: how many videos have too few frames.
        damaged: names of the videos that cannot be read.
        cached: whether they were read from the store.
    """

    rows: NDArray[np.float32]
    videos: list[str] = field(default_factory=list)
    too_short: int = 0
    damaged: list[str] = field(default_factory=list)
    cached: bool = False

    def renamed(self, names: Mapping[str, str]) -> Gathered:
        """The same features with other names of videos; those without another keep theirs."""
        videos, damaged = (
            [names.get(name, name) for name in some] for some in (self.videos, self.damaged)
        )
        return replace(self, videos=videos, damaged=damaged)


def features_folder() -> Path:
    """The folder of the store, beside that of fetched assets."""
    return assets_folder().parent / "features"


def read_features(key: Mapping[str, Any]) -> Gathered | None:
    """What was kept under a key; None if there is nothing that can be read."""
    text = _text(key)
    try:
        with safe_open(_path(text), framework="numpy") as file:
            facts = file.metadata() or {}
            if facts.get(_KEY) != text:
                return None
            kept = json.loads(facts[_FACTS])
            gathered = Gathered(file.get_tensor("rows"), **kept, cached=True)
            return gathered if _is_sound(gathered, key) else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _is_sound(gathered: Gathered, key: Mapping[str, Any]) -> bool:
    """Whether kept features are such as are kept: finite, one row for each video, not too many."""
    rows, names = gathered.rows, [gathered.videos, gathered.damaged]
    return (
        rows.dtype == np.float32
        and rows.ndim >= 2
        and all(isinstance(some, list) and all(isinstance(n, str) for n in some) for some in names)
        and type(gathered.too_short) is int
        and gathered.too_short >= 0
        and len(rows) == len(gathered.videos) <= key.get("count", len(rows))
        and bool(np.isfinite(rows).all())
    )


def keep_features(key: Mapping[str, Any], gathered: Gathered) -> None:
    """Keep features under a key: JSON values that say all that they depend on.

    Nothing is kept, and nothing lost, where the folder cannot be written.
    """
    text = _text(key)
    facts = {
        "videos": gathered.videos,
        "too_short": gathered.too_short,
        "damaged": gathered.damaged,
    }
    data = save(
        {"rows": np.ascontiguousarray(gathered.rows, np.float32)},
        metadata={_KEY: text, _FACTS: json.dumps(facts)},
    )
    with contextlib.suppress(OSError, StyleFaceVError):
        features_folder().mkdir(parents=True, exist_ok=True)
        write_file(_path(text), data)


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps({"version": VERSION, **key}, sort_keys=True)


def _path(text: str) -> Path:
    return features_folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"
