"""Two reports side by side, as far as they measured the same thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylefacev_cli.common.options import option
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.evaluation.reports.headline_figures import Figure, figures_of
from stylefacev_cli.evaluation.session import Report

REPORT_NAME = "report.json"  # in the folder that `eval all` writes
MAX_REPORT_BYTES = 2**26
# What two reports must agree in, or their numbers mean different things.
_MUST_AGREE = ("protocol", "network", "network_sha256", "resize")


@dataclass(frozen=True)
class CompareRequest:
    """Put two reports side by side: what is comparable, and the names of what is not.

    Reports are folders of `eval all`, their report.json, or one metric's --json in a file. Numbers
    of another protocol, network or resize rule are left out, with the reason.
    """

    a: str = option("Folder or file of a report.", flags=None, metavar="A")
    b: str = option("Another one.", flags=None, metavar="B")


@dataclass(frozen=True)
class Comparison:
    """Two reports side by side.

    Attributes:
        a: path of the one.
        b: path of the other.
        figures: main figures of A and of B, of all metrics that are comparable.
        left_out: metrics that are not, and why.
        warnings: what limits the comparison of the others.
    """

    a: str
    b: str
    figures: list[tuple[Figure, Figure]]
    left_out: dict[str, str]
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        better = {True: "a", False: "b", None: None}
        figures = [
            {
                "figure": one.name,
                "a": one.value,
                "b": two.value,
                "unit": one.unit,
                "better": better[one.better(two)],
            }
            for one, two in self.figures
        ]
        return {"a": self.a, "b": self.b, "figures": figures, "left_out": self.left_out}

    def table(self) -> Iterator[str]:
        """As lines."""
        yield f"A {self.a}"
        yield f"B {self.b}"
        yield f"{'':28}{'A':>12}{'B':>12}{'real/floor':>12}   better"
        for one, two in self.figures:
            mark = {True: "A", False: "B", None: ""}[one.better(two)]
            numbers = "".join(_number(value) for value in (one.value, two.value, one.reference))
            yield f"{one.name:28}{numbers}   {mark:3}{one.unit}".rstrip()


def compare_reports(request: CompareRequest) -> Comparison:
    """The main figures of two reports, of the metrics that are comparable.

    Raises:
        DataError: a file cannot be read, or is no report.
        UsageError: no metric is comparable.
    """
    reports = read_report(Path(request.a)), read_report(Path(request.b))
    ours, theirs = reports
    comparable, left_out = [], {}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        reason = _why_not_comparable(name, ours, theirs)
        if reason is None:
            comparable.append(name)
        else:
            left_out[name] = reason
    if not comparable:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(f"{request.a} and {request.b} have nothing comparable: {reasons}")
    figures = [
        pair
        for name in comparable
        for pair in zip(figures_of(ours[name]), figures_of(theirs[name]), strict=True)
    ]
    warnings = [text for name in comparable for text in _warnings(name, ours[name], theirs[name])]
    return Comparison(request.a, request.b, figures, left_out, warnings)


def read_report(path: Path) -> dict[str, Report]:
    """The reports of the metrics in a file, or in the folder of `eval all`, by the metrics' names.

    Raises:
        DataError: the file cannot be read, or is no report.
    """
    if path.is_dir():
        path = path / REPORT_NAME
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise DataError(f"{path} is too large for a report")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON") from error
    results = content.get("results", [content]) if isinstance(content, dict) else None
    if isinstance(results, dict):
        results = list(results.values())
    if not isinstance(results, list) or not all(
        isinstance(one, dict) and isinstance(one.get("metric"), str) for one in results
    ):
        raise DataError(f"{path} is no report of `stylefacev eval`")
    # Version 0.1 had `eval kid`, whose reports are those of `eval fid` but for the name.
    reports = {
        name: {**one, "metric": name}
        for one in results
        for name in [one["metric"].replace("kid", "fid", 1)]
    }
    try:
        for one in reports.values():
            figures_of(one)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: the report lacks {error}") from error
    return reports


def _why_not_comparable(
    name: str, ours: dict[str, Report], theirs: dict[str, Report]
) -> str | None:
    """Why a metric of two files cannot be compared; None: it can."""
    if name not in theirs:
        return "only A has it"
    if name not in ours:
        return "only B has it"
    for key in _MUST_AGREE:
        one, two = ours[name].get(key), theirs[name].get(key)
        if one != two:
            return f"{key} is {one} in A and {two} in B"
    return None


def _warnings(name: str, ours: Report, theirs: Report) -> Iterator[str]:
    sides = [report.get("sides", {}) for report in (ours, theirs)]
    one, two = (_origin(side.get("real")) for side in sides)
    if one != two:
        yield f"{name}: the real sides are {one} and {two}"
    one, two = (_codecs(side.get("fake")) for side in sides)
    if one != two:
        yield f"{name}: the generated frames went through {one} and {two}"


def _facts(side: Any) -> list[dict[str, Any]]:
    return side if isinstance(side, list) else [side] if side else []


def _origin(side: Any) -> str:
    return " + ".join(f"{one['used']} of {one['from']}" for one in _facts(side)) or "not there"


def _codecs(side: Any) -> str:
    kinds = sorted({one["codec"] for one in _facts(side)} - {"none"})
    return "+".join(kinds) or "no file"


def _number(value: float | None) -> str:
    return f"{'' if value is None else format(value, '.4g'):>12}"
