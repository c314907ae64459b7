"""`stylefacev data`: sets of clips – render them, prepare them from footage, look at them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylefacev_cli.cli import data_prepare
from stylefacev_cli.cli.downloads import fetch_render_assets
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    from stylefacev_cli.faces.dataset import Progress

app = typer.Typer(
    name="data", help="Make and inspect sets of clips for training.", no_args_is_help=True
)
app.add_typer(data_prepare.app)

_NOTE_EVERY_S = 60.0  # where no bar is shown, as in a log


@app.command()
def render(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder for the set; continued if it exists.")],
    identities: Annotated[int, typer.Option(help="Number of people, each with one clip.")] = 100,
    frames: Annotated[int, typer.Option(help="Frames a clip, or stills a person.")] = 32,
    size: Annotated[int, typer.Option(help="Side of the frames in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="The same seed gives the same set.")] = 0,
    kind: Annotated[str, typer.Option(help="clips (talking heads) or stills.")] = "clips",
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 25.0,
    framing: Annotated[
        str,
        typer.Option(help="canonical (eyes in place), unaligned (as trackers cut it out) or wide."),
    ] = "canonical",
    look: Annotated[
        str,
        typer.Option(help="photographic (MakeHuman's skins and hair, a download) or procedural."),
    ] = "photographic",
    split: Annotated[
        str | None,
        typer.Option(
            help="Fix the split for all people: val (never trained on) or train. By default "
            "training decides, by persons."
        ),
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes that render at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Render synthetic faces with exact labels: landmarks, expressions, pose, gaze, latents."""
    from stylefacev_cli.faces.dataset import RenderSettings, check_folder, render_set

    terminal: Terminal = ctx.obj
    settings = RenderSettings(
        num_identities=identities,
        num_frames=frames,
        size_px=size,
        seed=seed,
        kind=kind,
        fps=fps,
        framing=framing,
        look=look,
        split=split,
    )
    check_folder(out, settings)
    terminal.way_on = "; run the same command again to go on"
    fetch_render_assets(terminal, look)
    with terminal.progress(identities, "clips") as advance:
        report = _reporter(terminal, advance)
        index = render_set(settings, out, num_processes=processes, report=report)
    if as_json:
        facts = {"index": str(index), "num_clips": identities, "num_frames": identities * frames}
        terminal.result(json.dumps(facts))
    else:
        terminal.result(str(index))


@app.command()
def inspect(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of a set.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="Read every clip once, and compare with the content's hash."),
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="PNG", help="Write a contact sheet.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=100, help="Clips on the sheet.")] = 8,
    columns: Annotated[int, typer.Option(min=1, max=100, help="Frames of each.")] = 8,
    poses: Annotated[bool, typer.Option(help="Read labels for the heads' poses.")] = True,
    val_permille: Annotated[
        int, typer.Option(min=0, max=1000, help="Split to be told, where the set has none.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing sheet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a set holds: counts, lengths, poses, licence, and what was skipped and why."""
    from stylefacev_cli.datasets.clips import ClipSet
    from stylefacev_cli.datasets.inspection import (
        check_content,
        contact_sheet,
        facts_of,
        pose_distribution,
        save_sheet,
    )

    terminal: Terminal = ctx.obj
    if sheet is not None and sheet.exists() and not force:
        raise UsageError(f"{sheet} exists; choose another --sheet or give --force")
    clips = ClipSet(folder)
    facts = facts_of(clips, val_permille)
    if check:
        facts["content_sha256"] = check_content(clips)
        facts["checked"] = True
    if poses:
        facts["head_pose"] = pose_distribution(clips)
    if sheet is not None:
        save_sheet(contact_sheet(clips, rows, columns), sheet)
        facts["sheet"] = str(sheet)
    if as_json:
        terminal.result(json.dumps(facts))
        return
    for name, value in facts.items():
        terminal.result(f"{name}: {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(below)}" for name, below in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not stated" if value is None else str(value)


def _reporter(terminal: Terminal, advance: Callable[[str], None]) -> Callable[[Progress], None]:
    """Move the bar; and tell where things stand once a minute, for logs without a bar."""
    shown = 0
    first: tuple[int, float] | None = None
    noted_s = time.perf_counter()

    def report(progress: Progress) -> None:
        nonlocal shown, first, noted_s
        now_s = time.perf_counter()
        first = first or (progress.num_done, now_s)
        for _ in range(progress.num_done - shown):
            advance("rendering")
        shown = progress.num_done
        if now_s - noted_s < _NOTE_EVERY_S:
            return
        noted_s = now_s
        rate = (progress.num_done - first[0]) / (now_s - first[1])
        left_min = (progress.num_clips - progress.num_done) / rate / 60 if rate else 0.0
        terminal.note(
            f"{progress.num_done} of {progress.num_clips} clips, {rate:.1f} clips/s, "
            f"{left_min:.0f} min left"
        )

    return report
