"""What the documentation says can be run runs, in order, page by page."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, Block, arguments_of, blocks_of, commands_of

from stylefacev_cli.cli.app import run

LANGUAGES = {"bash", "python", "yaml", "text"}
OTHER_PROGRAMS = {"pip", "apt", "pytest", "ffplay", "jq", ".ci/run", "python", "torchrun"}


def pages_with(language: str) -> list[object]:
    return [
        pytest.param(page, id=page.stem)
        for page in PAGES
        if any(block.language == language for block in blocks_of(page))
    ]


def parsed(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """All options of a command exist; it is not run."""
    code = run([*arguments, "--help"])
    out, err = capfd.readouterr()
    assert code == 0 and "Usage" in out, (arguments, err)


def check_other(words: list[str]) -> None:
    """Another program is a known one; scripts of ours exist."""
    assert words[0] in OTHER_PROGRAMS, words
    for word in words[1:]:
        if word.endswith(".py"):
            assert (ROOT / word).is_file(), words


def run_block(block: Block, capfd: pytest.CaptureFixture[str]) -> None:
    for words in commands_of(block):
        arguments = arguments_of(words)
        if arguments is None:
            check_other(words)
        elif block.mark:
            parsed(arguments, capfd)
        else:
            code = run(arguments)
            _, err = capfd.readouterr()
            assert code == 0, f"{block.where}: {' '.join(words)}\n{err}"


@pytest.mark.parametrize("page", pages_with("bash"))
def test_commands_run(page: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block.where
        if block.language == "bash":
            run_block(block, capfd)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(page: Path, place: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "python":
            code = compile(block.text, block.where, "exec")
            if not block.mark:
                exec(code, names)
