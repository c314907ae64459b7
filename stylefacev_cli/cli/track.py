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
    from stylefacev_cli.generation.outputs.output import Clock
    from stylefacev_cli.generation.run import open_session
    from stylefacev_cli.generation.tracking import plan_track, run_track

    terminal: Terminal = ctx.obj
    plan = plan_track(request)
    clock = Clock(terminal.started_s)
    session = open_session(plan.manifest, request.compute, terminal, clock, renders=False)
    made = run_track(plan, session)
    seconds = len(made) / made.fps
    terminal.note(f"{len(made)} poses, {seconds:.1f} s at {made.fps:g} frames per second")
    if as_json:
        facts = {"path": str(plan.path), "frames": len(made), "fps": made.fps}
        facts |= {"loops": made.loops, "pose_space": made.pose_space, "origin": made.origin}
        terminal.result(json.dumps(facts, indent=2))
    else:
        terminal.result(str(plan.path))
