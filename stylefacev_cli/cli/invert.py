"""`stylefacev invert`: photos become people that can be moved."""

from __future__ import annotations

import json
from typing import Any

import typer

from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.generation.requests import InvertRequest


@takes(InvertRequest)
def invert(ctx: typer.Context, request: InvertRequest, as_json: AsJson = False) -> None:
    """Find the person of a photo in a model, for generate --from and reenact --source.

    Prints the path of each latent file. Beside it stands a picture: the photo, what the encoder
    alone sees, and the result. How near both are to the photo is printed on stderr.

    Example: stylefacev invert me.jpg --tune -o me.safetensors
    """
    from stylefacev_cli.generation.inversions import picture_path, plan_inversions, run_inversions
    from stylefacev_cli.generation.outputs.claims import claimed
    from stylefacev_cli.generation.outputs.output import Clock, describe
    from stylefacev_cli.generation.run import open_session

    terminal: Terminal = ctx.obj
    clock = Clock(terminal.started_s)
    plan = plan_inversions(request)
    people: list[dict[str, Any]] = []
    with claimed(plan.outputs, force=request.force):
        session = open_session(plan.manifest, request.compute, terminal, clock, renders=False)
        for photo, person in zip(request.photos, run_inversions(plan, session), strict=True):
            assert person.path is not None
            picture = picture_path(person.path)
            terminal.note(
                f"{person.path}: {person.describe()}, {person.seconds:.1f} s; see {picture}"
            )
            files = {"photo": photo, "path": str(person.path), "picture": str(picture)}
            seconds, origin = round(person.seconds, 2), dict(person.latent.origin)
            people.append({**files, **person.scores, "seconds": seconds, "origin": origin})
            if not as_json:
                terminal.result(str(person.path))
    timing = clock.summary()
    if as_json:
        terminal.result(json.dumps({"people": people, "timing": timing}, indent=2))
    count = f"{len(people)} photo" + ("" if len(people) == 1 else "s")
    terminal.note(f"{count} in {describe(timing)}")
