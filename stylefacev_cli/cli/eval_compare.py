"""`stylefacev eval compare`: two reports side by side, if they measured the same thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from stylefacev_cli.cli.figures import Figure, figures_of
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import DataError, UsageError

MAX_REPORT_BYTES = 2**26
# What two reports must agree in, or their numbers mean different things.
_SAME = ("metric", "protocol", "network", "network_sha256", "resize")


def compare(
    ctx: typer.Context,
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Report of `eval … --json`.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Put two reports side by side; refuse numbers of different protocols.

    Reports are those of `eval all`, or of one metric with --json.
    """
    terminal: Terminal = ctx.obj
    ours, theirs = read_report(a), read_report(b)
    common = [name for name in ours if name in theirs]
    if not common:
        raise UsageError(f"{a} and {b} have no metric in common")
    for name in common:
        _check_same(name, ours[name], theirs[name], (str(a), str(b)))
    for path, other, measured in ((a, theirs, ours), (b, ours, theirs)):
        alone = [name for name in measured if name not in other]
        if alone:
            terminal.note(f"only {path} has: {', '.join(alone)}")
    for warning in _warnings(ours, theirs, common):
        terminal.note(f"warning: {warning}")
    rows = [
        (first, second)
        for name in common
        for first, second in zip(figures_of(ours[name]), figures_of(theirs[name]), strict=True)
    ]
    if as_json:
        table = [
            {"figure": one.name, "a": one.value, "b": two.value, "unit": one.unit,
             "better": {True: "a", False: "b", None: None}[one.better(two)]}
            for one, two in rows
        ]  # fmt: skip
        terminal.result(json.dumps({"a": str(a), "b": str(b), "figures": table}))
        return
    for line in _table(str(a), str(b), rows):
        terminal.result(line)


def read_report(path: Path) -> dict[str, dict[str, Any]]:
    """The reports of the metrics in a file, by the metrics' names.

    Raises:
        DataError: the file cannot be read, or is no report.
    """
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise DataError(f"{path} is too large for a report")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON") from error
    found = content.get("results", [content]) if isinstance(content, dict) else None
    if isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("metric"), str) for one in found
    ):
        raise DataError(f"{path} is no report of `stylefacev eval`")
    reports = {one["metric"]: one for one in found}
    try:
        for one in reports.values():
            figures_of(one)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: the report lacks {error}") from error
    return reports


def _check_same(
    name: str, ours: dict[str, Any], theirs: dict[str, Any], paths: tuple[str, str]
) -> None:
    for key in _SAME:
        one, two = ours.get(key), theirs.get(key)
        if one != two:
            raise UsageError(
                f"{name}: {key} is {one} in {paths[0]} and {two} in {paths[1]}: such numbers "
                "are not comparable"
            )


def _warnings(
    ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]], common: list[str]
) -> Iterator[str]:
    for name in common:
        sides = [report[name].get("sides", {}) for report in (ours, theirs)]
        one, two = (_origin(found.get("real")) for found in sides)
        if one != two:
            yield f"{name}: the real sides are {one} and {two}"
        one, two = (_codecs(found.get("fake")) for found in sides)
        if one != two:
            yield f"{name}: the made frames went through {one} and {two}"


def _facts(side: Any) -> list[dict[str, Any]]:
    return side if isinstance(side, list) else [side] if side else []


def _origin(side: Any) -> str:
    return " + ".join(f"{one['used']} of {one['from']}" for one in _facts(side)) or "not there"


def _codecs(side: Any) -> str:
    kinds = sorted({one["codec"] for one in _facts(side)} - {"none"})
    return "+".join(kinds) or "no file"


def _table(a: str, b: str, rows: list[tuple[Figure, Figure]]) -> Iterator[str]:
    yield f"A {a}"
    yield f"B {b}"
    yield f"{'':28}{'A':>12}{'B':>12}{'real/floor':>12}   better"
    for one, two in rows:
        mark = {True: "A", False: "B", None: ""}[one.better(two)]
        numbers = "".join(_number(value) for value in (one.value, two.value, one.reference))
        yield f"{one.name:28}{numbers}   {mark:3}{one.unit}".rstrip()


def _number(value: float | None) -> str:
    return f"{'' if value is None else format(value, '.4g'):>12}"
