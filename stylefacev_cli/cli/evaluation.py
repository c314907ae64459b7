"""`stylefacev eval`: one command for each metric, made from the metric's request."""

from __future__ import annotations

import inspect
import json
import shlex
from typing import Any

import typer

from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import UsageError
from stylefacev_cli.evaluation.full_report import FullReportRequest, measure_all
from stylefacev_cli.evaluation.metric_list import METRICS, Metric
from stylefacev_cli.evaluation.reports.comparison import CompareRequest, compare_reports
from stylefacev_cli.evaluation.session import open_session

app = typer.Typer(
    name="eval",
    help="Measure videos and models, with protocol: FVD, FID, identity, motion, recomposition.",
    no_args_is_help=True,
)


def _add_metric(name: str, metric: Metric) -> None:
    def measure(ctx: typer.Context, request: Any, as_json: AsJson = False) -> None:
        terminal: Terminal = ctx.obj
        with open_session(request.compute, terminal) as session:
            terminal.quiet = terminal.quiet or not session.processes.is_first
            report = metric.measure(session, request)
        if not session.processes.is_first:
            return
        if as_json:
            terminal.result(json.dumps(report))
            return
        for warning in report.get("warnings", ()):
            terminal.note(f"warning: {warning}")
        for line in metric.table(report):
            terminal.result(line)

    measure.__doc__ = inspect.getdoc(metric.request)
    app.command(name)(takes(metric.request)(measure))


for _name, _metric in METRICS.items():
    _add_metric(_name, _metric)


@app.command("all", help=inspect.getdoc(FullReportRequest))
@takes(FullReportRequest)
def evaluate_all(ctx: typer.Context, request: FullReportRequest) -> None:
    """Measure everything and print the folder of the report."""
    terminal: Terminal = ctx.obj
    command = shlex.join(["stylefacev", *terminal.arguments])
    with open_session(request.compute, terminal, command) as session:
        terminal.quiet = terminal.quiet or not session.processes.is_first
        measure_all(session, request)
    if session.processes.is_first:
        terminal.result(str(request.out))


@app.command("compare", help=inspect.getdoc(CompareRequest))
@takes(CompareRequest)
def compare(ctx: typer.Context, request: CompareRequest, as_json: AsJson = False) -> None:
    """Print two reports side by side."""
    terminal: Terminal = ctx.obj
    comparison = compare_reports(request)
    for name, reason in comparison.left_out.items():
        terminal.note(f"{name} is left out: {reason}")
    for warning in comparison.warnings:
        terminal.note(f"warning: {warning}")
    if as_json:
        terminal.result(json.dumps(comparison.as_json()))
        return
    for line in comparison.table():
        terminal.result(line)


@app.command(
    "kid",
    hidden=True,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def kid(ctx: typer.Context) -> None:
    """Refuse the command of version 0.1, whose numbers `eval fid` gives."""
    raise UsageError("`eval kid` has become a part of `eval fid`, which takes the same options")
