"""Evaluation from Python: one function for all metrics.

report = evaluate(fake="videos", real="data/held-out", metric="motion")
report["sides"]["fake"]["motion"]["speed"]
print(report)                                   # the table of the command line
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.options import option_fields, request_from
from stylefacev_cli.errors import UsageError
from stylefacev_cli.evaluation.full_report import FullReportRequest, full_table, measure_all
from stylefacev_cli.evaluation.metric_list import METRICS, Metric
from stylefacev_cli.evaluation.session import open_session
from stylefacev_cli.evaluation.video_sources import MODEL_PREFIX

if TYPE_CHECKING:
    from stylefacev_cli.pipeline import Model

ALL_METRICS = {**METRICS, "all": Metric(FullReportRequest, measure_all, full_table)}


class EvalReport(dict[str, Any]):
    """A report: plain JSON values, shown as the table of the command line."""

    def __init__(self, report: dict[str, Any], lines: Callable[[], Iterator[str]]) -> None:
        """Keep the values of a report; `lines` makes its table."""
        super().__init__(report)
        self._lines = lines

    def table(self) -> str:
        """The numbers for people to read, with the warnings."""
        warnings = (f"warning: {text}" for text in self.get("warnings", ()))
        return "\n".join([*warnings, *self._lines()])

    def save(self, path: str | Path) -> None:
        """Write the values as JSON, for `stylefacev eval compare`.

        Raises:
            StyleFaceVError: the file cannot be written.
        """
        from stylefacev_cli.common.files import write_file

        write_file(Path(path), f"{json.dumps(self)}\n".encode())

    def __repr__(self) -> str:
        return self.table()

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<pre>{html.escape(self.table())}</pre>"


def evaluate(
    fake: str | Path | Model | None = None,
    real: str | Path | list[str] | tuple[str, ...] | None = None,
    *,
    metric: str = "all",
    listener: Listener | None = None,
    **options: Any,
) -> EvalReport:
    """Measure videos or a model.

    Args:
        fake: generated videos: a folder, `model:NAME?seeds=0-99`, or a loaded model. Not of
            `recomposition` and `reconstruction`, which take `model`: a name, folder or loaded one.
        real: real videos, in the same forms; of `fid` also several.
        metric: `fvd`, `fid`, `identity`, `motion`, `diversity`, `recomposition`, `reconstruction`,
            or `all` of them, which takes a folder `out` for its files.
        listener: is told how far it is; None: the log `stylefacev_cli`.
        options: those of `stylefacev eval METRIC`, with underscores: `clips=128, frames=16`.

    Returns:
        The report. It is a dictionary of JSON values; printed, it is a table.

    Raises:
        UsageError: no such metric, or an option makes no sense.
        DataError: the videos cannot be used.
        MissingWeightsError: a network is not there and cannot be fetched.
    """
    if not isinstance(metric, str) or metric not in ALL_METRICS:
        raise UsageError(f"no metric {metric!r}; there are {', '.join(ALL_METRICS)}")
    chosen = ALL_METRICS[metric]
    if metric == "all":
        options.setdefault("out", None)
    given = {"fake": fake, "real": real, **options}
    fields = list(option_fields(chosen.request))
    kinds = {field.name: field.type for field in fields}
    values = {
        name: _plain(name, value, several=kinds.get(name) == tuple[str, ...])
        for name, value in given.items()
        if value is not None or name in options
    }
    missing = [field.name for field in fields if field.default is MISSING]
    missing = [name for name in missing if name not in values]
    if missing:
        raise TypeError(f"evaluate(metric={metric!r}) needs {' and '.join(missing)}")
    request = request_from(chosen.request, values)
    call = ", ".join(f"{name}={value!r}" for name, value in {"metric": metric, **values}.items())
    command = f"stylefacev_cli.evaluate({call})"
    with open_session(request.compute, listener or LogListener(), command) as session:
        report = chosen.measure(session, request)
    return EvalReport(report, lambda: chosen.table(report))


def _plain(name: str, value: Any, *, several: bool) -> Any:
    """A value as a request holds it: paths and loaded models as text, lists as tuples."""
    if several:
        values = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(_plain(name, one, several=False) for one in values)
    if isinstance(value, Path):
        return str(value)
    manifest = getattr(value, "manifest", None)
    if manifest is None:
        return value
    return (
        str(manifest.folder)
        if name in ("model", "detector")
        else f"{MODEL_PREFIX}{manifest.folder}"
    )
