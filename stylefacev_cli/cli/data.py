"""`stylefacev data`: sets of clips – render them, look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="data", help="Make and inspect sets of clips for training.", no_args_is_help=True
)


@app.command()
def render(
    out: Annotated[Path, typer.Option("--out", help="Folder for the set; continued if it exists.")],
    identities: Annotated[int, typer.Option(help="Number of people, each with one clip.")] = 100,
    frames: Annotated[int, typer.Option(help="Frames a clip, or stills a person.")] = 32,
    size: Annotated[int, typer.Option(help="Side of the frames in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="The same seed gives the same set.")] = 0,
    kind: Annotated[str, typer.Option(help="clips (talking heads) or stills.")] = "clips",
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 25.0,
    framing: Annotated[str, typer.Option(help="canonical (eyes in place) or wide.")] = "canonical",
    processes: Annotated[int, typer.Option(help="Processes that render at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Render synthetic faces with exact labels: landmarks, expressions, pose, gaze, latents."""
    from tqdm import tqdm

    from stylefacev_cli.faces.dataset import Progress, RenderSettings, render_set

    settings = RenderSettings(
        num_identities=identities,
        num_frames=frames,
        size_px=size,
        seed=seed,
        kind=kind,
        fps=fps,
        framing=framing,
    )
    with tqdm(total=identities, unit="clip", desc="rendering", mininterval=1.0) as bar:

        def report(progress: Progress) -> None:
            if bar.n == 0 and progress.num_done > 1:
                bar.initial = progress.num_done  # clips of an earlier run say nothing of the speed
            bar.update(progress.num_done - bar.n)

        index = render_set(settings, out, num_processes=processes, report=report)
    if as_json:
        print(json.dumps({"index": str(index), "num_clips": identities, "num_frames": frames}))
    else:
        print(index)


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of a set.")],
    check: Annotated[bool, typer.Option("--check", help="Read every clip once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say what a set holds."""
    from stylefacev_cli.data.clips import ClipSet

    clips = ClipSet(folder)
    if check:
        clips.check()
    facts = {
        "clips": len(clips),
        "frames": sum(entry.num_frames for entry in clips.entries),
        "sizes_px": sorted({entry.size_px for entry in clips.entries}),
        "fps": sorted({entry.fps for entry in clips.entries}),
        "kinds": sorted({entry.kind for entry in clips.entries}),
        "identities": len({entry.identity for entry in clips.entries}),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{name}: {shown}")
