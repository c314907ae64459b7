from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylefacev_cli.errors import StyleFaceVWarning
from stylefacev_cli.evaluation import feature_store
from stylefacev_cli.evaluation.feature_store import Gathered, keep_features, read_features

KEY = {"videos": "0" * 64, "count": 3}


def gathered(**changes: Any) -> Gathered:
    values: dict[str, Any] = {"rows": np.ones((2, 4), np.float32), "videos": ["a", "b"]}
    return Gathered(**(values | changes))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "features_folder", lambda: tmp_path / "features")


def test_what_is_kept_is_read() -> None:
    assert read_features(KEY) is None
    keep_features(KEY, gathered(too_short=1, damaged=["c"]))
    found = read_features(KEY)
    assert found is not None and found.cached
    assert (found.videos, found.too_short, found.damaged) == (["a", "b"], 1, ["c"])
    assert read_features(KEY | {"count": 4}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.full((2, 4), np.nan, np.float32)},
        {"rows": np.full((2, 4), np.inf, np.float32)},
        {"rows": np.ones((3, 4), np.float32)},
        {"rows": np.ones((4, 4), np.float32), "videos": list("abcd")},
        {"rows": np.ones(2, np.float32)},
        {"videos": [1, 2]},
        {"videos": "ab"},
        {"too_short": -1},
        {"too_short": True},
        {"damaged": [None]},
    ],
)
def test_poisoned_features_are_as_good_as_none(changes: dict[str, Any]) -> None:
    keep_features(KEY, gathered(**changes))
    with pytest.warns(StyleFaceVWarning, match="among the kept features is damaged: they are"):
        assert read_features(KEY) is None


def test_every_changed_byte_is_found() -> None:
    keep_features(KEY, gathered())
    (path,) = feature_store.features_folder().iterdir()
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.warns(StyleFaceVWarning, match="is damaged"):
            assert read_features(KEY) is None
    path.write_bytes(data)
    assert read_features(KEY) is not None
