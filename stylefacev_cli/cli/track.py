"""`stylefacev track`: the motion of a video as a file, and edits of it."""

from __future__ import annotations

import json

import typer

from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.generation.requests import TrackRequest


@takes(TrackRequest)
def track(ctx: typer.Context, request: TrackRequest, as_json: AsJson = False) -> None:
    """Save the motion of a video as a pose track, or edit one.

    Prints the path of the track, which `generate --track` and `reenact` play on other faces. The
    face is cut out with one window for the whole video, so that its movements stay.

    Example: stylefacev track clip.mp4 --scale mouth=1.3 --loop -o clip.safetensors
    """
    from stylefacev_cli.generation.outputs.claims import claimed
    from stylefacev_cli.generation.outputs.output import Clock, describe
    from stylefacev_cli.generation.run import open_session
    from stylefacev_cli.generation.tracking import plan_track, run_track

    terminal: Terminal = ctx.obj
    clock = Clock(terminal.started_s)
    plan = plan_track(request)
    with claimed(plan.outputs, force=plan.force):
        session = open_session(plan.manifest, request.compute, terminal, clock, renders=False)
        result = run_track(plan, session)
    seconds = len(result) / result.fps
    length = f"{len(result)} poses, {seconds:.1f} s at {result.fps:g} frames per second"
    terminal.note(f"{length}; took {describe(clock.summary())}")
    if as_json:
        facts = {"path": str(plan.path), "frames": len(result), "fps": result.fps}
        facts |= {"loops": result.loops, "pose_space": result.pose_space, "origin": result.origin}
        terminal.result(json.dumps(facts, indent=2))
    else:
        terminal.result(str(plan.path))
