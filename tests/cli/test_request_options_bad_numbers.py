"""A number that makes no sense, of any option of any command: exit 2, one line, before the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from stylefacev_cli.cli.commands import root_command
from stylefacev_cli.cli.config import PROJECT_CONFIG

Outcome = tuple[int, str, str]  # exit code, stdout, stderr

HUGE = "9" * 30
BAD = ("-" + HUGE, HUGE, "nan", "1e400")
BAD_IN_YAML = ("-1e30", ".nan", ".inf", "[1, 2]", "2000-01-01")


def commands(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield names, command
        return
    for name in below:
        yield from commands(below[name], *names, name)


def is_number(one: Any) -> bool:
    described = getattr(one, "type_descriptor", None)  # of newer versions of typer
    if described is not None:
        kinds = {described.annotation, *get_args(described.annotation)}
        return bool(kinds & {int, float})
    return one.type.name.partition(" ")[0] in ("integer", "float")


def numbers_of(command: Any) -> list[Any]:
    return [one for one in command.params if is_number(one)]


def required_of(command: Any, folder: Path, but: str | None = None) -> list[str]:
    """Something for each argument and option that has to be there."""
    words: list[str] = []
    for one in command.params:
        if one.required and one.name != but:
            is_argument = one.param_type_name == "argument"
            words += [str(folder)] if is_argument else [one.opts[0], str(folder / "new")]
    return words


ALL = list(commands(root_command()))


def test_there_are_options_to_try() -> None:
    assert sum(len(numbers_of(command)) for _, command in ALL) > 60


@pytest.mark.parametrize(("names", "command"), ALL, ids=[" ".join(names) for names, _ in ALL])
def test_on_the_command_line(
    call: Callable[..., Outcome], tmp_path: Path, names: tuple[str, ...], command: Any
) -> None:
    for one in numbers_of(command):
        for value in BAD:
            words = required_of(command, tmp_path, one.name)
            words += [value] if one.param_type_name == "argument" else [f"{one.opts[0]}={value}"]
            code, out, err = call(*names, *words)
            assert code == 2 and out == "", (words, code, err)
            assert err.count("\n") == 1 and "bug" not in err, (words, err)


@pytest.mark.parametrize("value", BAD_IN_YAML)
@pytest.mark.parametrize("name", ["generate", "invert"])
def test_in_a_file_of_settings(
    workplace: None, call: Callable[..., Outcome], tmp_path: Path, name: str, value: str
) -> None:
    (command,) = (command for names, command in ALL if names == (name,))
    for one in numbers_of(command):
        key = one.opts[0].lstrip("-").replace("-", "_")
        Path(PROJECT_CONFIG).write_text(f"{name}:\n  {key}: {value}\n")
        code, out, err = call(name, *required_of(command, tmp_path))
        assert code == 2 and out == "", (key, value, code, err)
        assert err.count("\n") == 1 and "bug" not in err, (key, value, err)
