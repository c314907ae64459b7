"""`stylefacev generate`: face videos from seeds."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal, is_terminal, stdout_stream
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.requests import OUTPUT_PANEL, GenerateRequest

if TYPE_CHECKING:
    from stylefacev_cli.generation.outputs.output import Clock
    from stylefacev_cli.generation.requests import RenderOptions
    from stylefacev_cli.generation.spec import Plan


@takes(GenerateRequest)
def generate(
    ctx: typer.Context,
    request: GenerateRequest,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", rich_help_panel=OUTPUT_PANEL,
            help="Print one JSON document at the end instead of a path for each video.",
        ),
    ] = False,
) -> None:  # fmt: skip
    """Make face videos from seeds, or of a person of yours (--from).

    Prints the path of each video; beside it stands a JSON file that says how it was made. A seed
    gives the same video whatever else is in the range.

    Example: stylefacev generate --seeds 0-9 --frames 64 --out videos/{seed:04}.mp4
    """
    from stylefacev_cli.generation import plan as planning
    from stylefacev_cli.generation.outputs.claims import claimed_videos
    from stylefacev_cli.generation.outputs.output import Clock

    terminal: Terminal = ctx.obj
    if request.out is None:
        request = replace(request, out="videos")
    check_stream(request.out, as_json)
    clock = Clock(terminal.started_s)
    with claimed_videos(planning.plan_videos(request)) as plan:
        if plan.skipped:
            there = f"{len(plan.skipped)} of {len(plan.skipped) + len(plan.specs)}"
            terminal.note(f"{there} videos are there already, or being made: skipped")
        terminal.way_on = "; --skip-existing goes on from here"
        _make(plan, request.compute, terminal, clock, as_json)


def _make(
    plan: Plan, compute: RenderOptions, terminal: Terminal, clock: Clock, as_json: bool
) -> None:
    """Render and write the videos of a plan, and print what became of them."""
    from stylefacev_cli.common.memory import keep_freed_memory
    from stylefacev_cli.generation.run import open_session, run

    videos: list[dict[str, Any]] = []
    document: dict[str, Any] = {"videos": videos, "skipped": list(plan.skipped)}
    try:
        if plan.specs:
            keep_freed_memory()
            manifest = plan.settings.manifest
            session = open_session(manifest, compute, terminal, clock, dtype=compute.dtype)
            with stdout_stream(plan.to_stream) as stream:
                for result in run(plan, session, stream):
                    videos.append({"path": str(result.path), **result.record})
                    if result.path is not None and not as_json:
                        terminal.result(str(result.path))
    except StyleFaceVError as error:
        if as_json:  # the videos before it stay, and are listed
            document.update(error=str(error), exit_code=error.exit_code, timing=clock.summary())
            terminal.result(json.dumps(document, indent=2))
        raise
    timing = clock.summary()
    if as_json:
        terminal.result(json.dumps({**document, "timing": timing}, indent=2))
    terminal.note(summary(len(plan.specs), plan.settings.motion.num_frames, timing))


def check_stream(out: str | None, as_json: bool) -> None:
    """Check that stdout can take a video where it is to.

    Raises:
        UsageError: it is closed, a terminal, or taken by --json.
    """
    if out != "-":
        return
    if as_json:
        raise UsageError("--json and -o - both write to the standard output; leave one out")
    if sys.stdout is None:
        raise UsageError("-o - has nowhere to go: the standard output is closed")
    if is_terminal(sys.stdout):
        raise UsageError("-o - would write a video to the terminal; send it to a pipe or a file")


def summary(num_videos: int, num_frames: int, timing: dict[str, float]) -> str:
    """What was rendered and where the time went, on one line."""
    from stylefacev_cli.generation.outputs.output import describe

    videos = f"{num_videos} video" + ("" if num_videos == 1 else "s")
    return f"{videos}, {num_videos * num_frames} frames in {describe(timing)}"
