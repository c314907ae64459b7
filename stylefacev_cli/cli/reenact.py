"""`stylefacev reenact`: the person of a seed or a photo follows a driver."""

from __future__ import annotations

import json

import typer

from stylefacev_cli.cli.generate import check_stream, summary
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal, stdout_stream
from stylefacev_cli.generation.requests import ReenactRequest


@takes(ReenactRequest)
def reenact(ctx: typer.Context, request: ReenactRequest, as_json: AsJson = False) -> None:
    """Make the person of a seed or a photo move like the driver of a video or a track.

    Prints the path of the video; a JSON file beside it says how it was made. It has the driver's
    length and frames a second; edit the motion on the way with stylefacev track.

    Example: stylefacev reenact --source me.jpg --driving clip.mp4 --audio -o me.mp4
    """
    from stylefacev_cli.generation.outputs.claims import claimed
    from stylefacev_cli.generation.outputs.output import Clock
    from stylefacev_cli.generation.reenactment import plan_reenactment, read_driver
    from stylefacev_cli.generation.run import open_session, run

    terminal: Terminal = ctx.obj
    check_stream(request.out, as_json)
    clock = Clock(terminal.started_s)
    planned = plan_reenactment(request)
    compute = request.compute
    manifest = planned.settings.manifest
    with claimed(planned.outputs, force=request.force):
        session = open_session(manifest, compute, terminal, clock, dtype=compute.dtype)
        plan = read_driver(planned, session)
        with stdout_stream(plan.to_stream) as stream:
            for result in run(plan, session, stream):
                if as_json:
                    video = {"path": str(result.path), **result.record}
                    document = {"videos": [video], "timing": clock.summary()}
                    terminal.result(json.dumps(document, indent=2))
                elif result.path is not None:
                    terminal.result(str(result.path))
    terminal.note(summary(1, plan.settings.motion.num_frames, clock.summary()))
