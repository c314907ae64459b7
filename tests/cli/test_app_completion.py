"""Completion in shells, through the real entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stylefacev_cli.cli.app import run

SCRIPT = """
import sys
from stylefacev_cli.cli.app import run
code = run([])
heavy = {"torch", "numpy", "yaml", "requests"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


def completed(line: str, shell: str = "bash") -> list[str]:
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell != "bash":
        asked = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"_STYLEFACEV_COMPLETE": f"complete_{shell}", **asked}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.split("\n")


def test_commands_and_options_are_completed() -> None:
    commands = ["generate", "invert", "track", "reenact", "train", "data", "eval", "weights"]
    assert [word for word in completed("stylefacev ") if word] == commands
    assert completed("stylefacev generate --sheet") == ["--sheet-frames", "--sheet-columns", ""]
    assert completed("stylefacev generate --device c") == ["cpu", "cuda", ""]
    assert "list" in completed("stylefacev weights ")
    assert any("--interpolate" in line for line in completed("stylefacev generate --int", "fish"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    with pytest.raises(SystemExit) as end:
        run(["--show-completion", shell])
    out = capsys.readouterr().out
    assert end.value.code == 0 and f"_STYLEFACEV_COMPLETE=complete_{shell}" in out


def test_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    with pytest.raises(SystemExit) as end:
        run(["--install-completion", "bash"])
    assert end.value.code == 0 and "bash completion installed" in capsys.readouterr().out
    assert "stylefacev" in (tmp_path / ".bashrc").read_text()
