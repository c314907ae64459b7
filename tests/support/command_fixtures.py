"""What tests of commands share: a folder of their own with the tiny model, and ways to call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stylefacev_cli.cli.app import run

Outcome = tuple[int, str, str]  # exit code, stdout, stderr


@pytest.fixture
def workplace(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLEFACEV_MODEL", str(tiny_model))
    monkeypatch.setenv("STYLEFACEV_DEVICE", "cpu")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run_command(*arguments: str) -> Outcome:
        code = run(list(arguments))
        return (code, *capfd.readouterr())

    return run_command


@pytest.fixture
def generate(call: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def run_generate(*arguments: str) -> Outcome:
        return call("generate", *arguments)

    return run_generate
