"""The fenced blocks of the documentation, and the commands in them.

A comment on the line before a block says what a test cannot do with it:

    <!-- needs: download -->   needs files from the network, or licensed ones (or: root, a pipe …)
    <!-- long -->              takes minutes

Commands of such blocks are parsed, not run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_MARK = re.compile(r"<!--\s*(needs:.*?|long)\s*-->")
_OPERATORS = ("|", "||", "&", "&&", ";")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: bash or python.
        text: what is in it.
        mark: why it is not run, or "".
        where: page and line, for messages.
    """

    language: str
    text: str
    mark: str
    where: str


def blocks_of(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    mark, language, inside, start = "", None, [], 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if language is None and line.startswith("```"):
            language, inside, start = line[3:].strip(), [], number
        elif language is not None and line.startswith("```"):
            where = f"{page.relative_to(ROOT)}:{start}"
            yield Block(language, "\n".join(inside) + "\n", mark, where)
            mark, language = "", None
        elif language is not None:
            inside.append(line)
        elif line.strip():
            found = _MARK.fullmatch(line.strip())
            mark = found.group(1) if found else ""


def commands_of(block: Block) -> Iterator[list[str]]:
    """The words of each command of a bash block; pipes and redirections end one."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        tokens = iter(lexer)
        for token in tokens:
            if token in _OPERATORS:
                yield words
                words = []
            elif token in (">", ">>", "<", "2>"):
                next(tokens)
            else:
                words.append(token)
        if words:
            yield words


def arguments_of(words: list[str]) -> list[str] | None:
    """The arguments of a call of stylefacev; None of another program."""
    if words[0] == "stylefacev":
        return words[1:]
    if "-m" in words and words[words.index("-m") + 1 :][:1] == ["stylefacev_cli"]:
        return words[words.index("-m") + 2 :]
    return None
