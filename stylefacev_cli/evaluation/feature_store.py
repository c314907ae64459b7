"""Features that networks gave of sets of videos, kept so that they are computed only once.

    ~/.cache/stylefacev/features/<SHA-256 of all that they depend on>.safetensors

A file that cannot be read is as good as none. The folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from stylefacev_cli.common.files import write_file
from stylefacev_cli.common.untrusted.pieces import open_piece
from stylefacev_cli.common.untrusted.safetensors_file import read_safetensors
from stylefacev_cli.errors import IntegrityError, StyleFaceVError, StyleFaceVWarning
from stylefacev_cli.weights.downloads.cache import assets_folder

VERSION = 3  # of what is computed from the same key
_KEY = "key"
_FACTS = "facts"
_SUM = "sha256"  # of the rows and the facts


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
    """What was kept under a key; None if there is nothing, or nothing that can be believed.

    Of the latter a `StyleFaceVWarning` tells.
    """
    text = _text(key)
    path = _path(text)
    try:
        file = read_safetensors(open_piece(path))
        facts = file.metadata
        rows = file.array("rows")
        if (facts.get(_KEY), facts.get(_SUM)) != (text, _checksum(rows, facts[_FACTS])):
            raise ValueError("another key or checksum")
        gathered = Gathered(rows, **json.loads(facts[_FACTS]), cached=True)
        if not _is_sound(gathered, key):
            raise ValueError("numbers that no features have")
    except FileNotFoundError:
        return None
    except (OSError, IntegrityError, KeyError, TypeError, ValueError, RecursionError):
        told = f"{path.name} among the kept features is damaged: they are computed anew"
        warnings.warn(told, StyleFaceVWarning, stacklevel=2)
        return None
    return gathered


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
    rows, told = np.ascontiguousarray(gathered.rows, np.float32), json.dumps(facts)
    data = save({"rows": rows}, metadata={_KEY: text, _FACTS: told, _SUM: _checksum(rows, told)})
    with contextlib.suppress(OSError, StyleFaceVError):
        features_folder().mkdir(parents=True, exist_ok=True)
        write_file(_path(text), data)


def _checksum(rows: NDArray[Any], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    digest.update(f"{rows.dtype} {rows.shape}".encode())
    digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps({"version": VERSION, **key}, sort_keys=True)


def _path(text: str) -> Path:
    return features_folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"
