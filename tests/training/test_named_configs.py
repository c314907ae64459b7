from __future__ import annotations

from pathlib import Path

import pytest

from stylefacev_cli.cli.app import run
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.named_configs import FOLDER, find_config, list_configs
from stylefacev_cli.training.settings import load_settings

NAMES = [
    "default-128", "default-256", "default-256-start", "default-64", "paper-1024", "paper-256",
    "tiny",
]  # fmt: skip


def test_names_stand_for_shipped_files(tmp_path: Path) -> None:
    assert list(list_configs()) == NAMES
    for name, purpose in list_configs().items():
        assert find_config(name) == FOLDER / f"{name}.yaml"
        assert load_settings(name).name == name and 20 < len(purpose) <= 100
    own = tmp_path / "own.yaml"
    own.write_text(find_config("tiny").read_text())
    assert find_config(own) == find_config(str(own)) == own
    with pytest.raises(UsageError, match=f"no config 'big': .* {', '.join(NAMES)}"):
        find_config("big")
    with pytest.raises(UsageError, match="no config '.*none.yaml'"):
        find_config(tmp_path / "none.yaml")


def test_they_are_listed_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--list-configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert run(["train", "--config", "paper"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "paper-256" in error
