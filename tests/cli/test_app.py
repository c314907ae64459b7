"""The front door: help, version, unknown commands; the options that are everywhere."""

from __future__ import annotations

import pytest

import stylefacev_cli
from stylefacev_cli.cli.app import run


@pytest.mark.parametrize(
    "command",
    [[], ["generate"], ["train"], ["data"], ["data", "render"], ["weights"], ["weights", "list"]],
)
def test_help_version_and_manners_everywhere(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("-h", "--help"):
        assert run([*command, flag]) == 0
        out, err = capsys.readouterr()
        assert err == "" and "Usage: stylefacev" in out
        assert all(out.count(name) == 1 for name in ("--quiet", "--verbose", "--version"))
    assert run([*command, "-q", "-v", "--version"]) == 0
    assert capsys.readouterr() == (f"stylefacev {stylefacev_cli.__version__}\n", "")


def test_nothing_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "generate" in capsys.readouterr().out
    assert run(["data"]) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [["genrate"], ["--nonsense"], ["data", "bake"], ["-x"]])
def test_unknown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: No such") and err.count("\n") == 1
    assert "-h tells more" in err


@pytest.mark.parametrize("value", ["0", "-1", "many", ""])
def test_wrong_variables_are_told_by_name(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", value)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip()
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    assert run(["--version"]) == 2
    assert "the variable NUMBA_NUM_THREADS" in capsys.readouterr().err
