"""What became of each file of the footage: a line of `sources.jsonl` for each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.datasets.clips import SOURCES_NAME, ClipEntry, entry_of
from stylefacev_cli.datasets.footage_sources import Source
from stylefacev_cli.errors import DataError

DAMAGED = "damaged"


@dataclass
class Prepared:
    """The outcome for one file of the footage.

    Attributes:
        source: its name.
        clips: lines of the index.
        hashes: of each clip: SHA-256 of its strip and of its labels.
        skipped: what was left out: reason, and which frames or what exactly was wrong.
        notes: what is worth knowing of it, and stopped nothing.
        file: its size, time and hash, see `file_facts`; None in sets of earlier versions.
    """

    source: str
    clips: list[ClipEntry] = field(default_factory=list)
    hashes: list[list[str]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    file: dict[str, Any] | None = None

    def skip(self, reason: str, **details: Any) -> None:
        """Note that something was left out."""
        self.skipped.append({"reason": reason, **details})

    @property
    def files(self) -> list[str]:
        """Strips and labels, relative to the set's folder."""
        return [name for entry in self.clips for name in (entry.file, entry.labels) if name]


def file_facts(path: Path) -> dict[str, Any] | None:
    """Size, time and SHA-256 of a file of the footage; None if it cannot be read."""
    try:
        state = path.stat()
        return {
            "bytes": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": sha256_of(path)
        }  # fmt: skip
    except OSError:
        return None


def is_current(prepared: Prepared, source: Source | None) -> bool:
    """Whether what was made of a file holds still: nothing of it was damaged, and it is the same.

    Of a file whose time alone is another one the content is compared.

    Args:
        prepared: what was made of it.
        source: the file as it is now; None: it is gone, and what was made of it is kept.
    """
    if source is None:
        return True
    if source.skip is not None:
        return [skip["reason"] for skip in prepared.skipped] == [source.skip]
    if any(skip["reason"] == DAMAGED for skip in prepared.skipped):
        return False
    known = prepared.file
    if known is None:  # skipped by its name, or made by an earlier version
        return bool(prepared.clips)
    try:
        state = source.path.stat()
    except OSError:
        return False
    if state.st_size != known.get("bytes"):
        return False
    return state.st_mtime_ns == known.get("mtime_ns") or file_facts(source.path) == {
        **known, "mtime_ns": state.st_mtime_ns,
    }  # fmt: skip


def read_sources(folder: Path) -> list[Prepared]:
    """What became of every file of the footage; empty if the set was not prepared from footage.

    Raises:
        DataError: the report is damaged.
    """
    path = folder / SOURCES_NAME
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return [
        parse_prepared(line, f"{path}:{i}") for i, line in enumerate(text.split("\n"), 1) if line
    ]


def skipped_by_reason(done: list[Prepared]) -> dict[str, int]:
    """How often something was left out, by reason, the commonest first."""
    reasons = Counter(skip["reason"] for prepared in done for skip in prepared.skipped)
    return dict(reasons.most_common())


def noted_by_text(done: list[Prepared]) -> dict[str, int]:
    """Of how many files something is worth knowing, by what it is, the commonest first."""
    return dict(Counter(text for prepared in done for text in prepared.notes).most_common())


def to_line(prepared: Prepared) -> str:
    """A line of the report, with its line end."""
    values: dict[str, Any] = {
        "source": prepared.source,
        "clips": [json.loads(entry.to_line()) for entry in prepared.clips],
        "sha256": prepared.hashes,
        "skipped": prepared.skipped,
    }
    if prepared.notes:
        values["notes"] = prepared.notes
    if prepared.file is not None:
        values["file"] = prepared.file
    return json.dumps(values, ensure_ascii=False) + "\n"


def parse_prepared(line: str, where: str) -> Prepared:
    """Read a line of the report; `where` names it in messages.

    Raises:
        DataError: it is damaged.
    """
    try:
        values = json.loads(line)
        clips = [entry_of(entry, where) for entry in values["clips"]]
        notes, file = values.get("notes", []), values.get("file")
        prepared = Prepared(
            values["source"], clips, values["sha256"], values["skipped"], notes, file
        )
        whole = (
            isinstance(prepared.source, str)
            and len(prepared.hashes) == len(clips)
            and all(isinstance(text, str) for of_clip in prepared.hashes for text in of_clip)
            and all(isinstance(one["reason"], str) for one in prepared.skipped)
            and isinstance(notes, list)
            and all(isinstance(text, str) for text in notes)
            and (file is None or isinstance(file, dict))
        )
        if not whole:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: damaged; delete the set's folder and prepare it anew") from error
    return prepared
