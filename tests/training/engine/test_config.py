from __future__ import annotations

import pytest

from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.engine.config import with_overrides


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
