"""`stylefacev data`: sets of clips – render them, prepare them from footage, look at them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from stylefacev_cli import data
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.datasets.requests import (
    FfhqRequest,
    ImagesRequest,
    InspectRequest,
    PrepareRequest,
    RavdessRequest,
    VideosRequest,
)
from stylefacev_cli.faces.render_request import RenderRequest

if TYPE_CHECKING:
    from stylefacev_cli.datasets.set_builder import Report

app = typer.Typer(
    name="data", help="Make and inspect sets of clips for training.", no_args_is_help=True
)
prepare = typer.Typer(
    name="prepare",
    help="Cut faces out of footage: one fixed window a clip, one unrotated crop an image.",
    no_args_is_help=True,
)
app.add_typer(prepare)

_WAY_ON = "; run the same command again to go on"


@app.command()
@takes(RenderRequest)
def render(ctx: typer.Context, request: RenderRequest, as_json: AsJson = False) -> None:
    """Render synthetic faces with exact labels: landmarks, expressions, pose, gaze, latents."""
    terminal: Terminal = ctx.obj
    terminal.way_on = _WAY_ON
    index = data.render(request, terminal)
    if as_json:
        count = request.settings.num_identities
        num_frames = count * request.settings.num_frames
        facts = {"index": str(index), "num_clips": count, "num_frames": num_frames}
        terminal.result(json.dumps(facts))
    else:
        terminal.result(str(index))


@prepare.command()
@takes(RavdessRequest)
def ravdess(ctx: typer.Context, request: RavdessRequest, as_json: AsJson = False) -> None:
    """RAVDESS as it comes: actors become persons, files without pictures or twins are skipped.

    Of 01-… (with sound) and 02-… (without), which show the same, the first is taken.
    """
    _prepare(ctx, data.prepare_ravdess, request, as_json)


@prepare.command()
@takes(VideosRequest)
def videos(ctx: typer.Context, request: VideosRequest, as_json: AsJson = False) -> None:
    """Any videos of one person each; cut where the face is lost, jumps, or another one comes in."""
    _prepare(ctx, data.prepare_videos, request, as_json)


@prepare.command()
@takes(FfhqRequest)
def ffhq(ctx: typer.Context, request: FfhqRequest, as_json: AsJson = False) -> None:
    """FFHQ's in-the-wild images → FFHQ-U: not rotated, shifted at random, never padded."""
    _prepare(ctx, data.prepare_ffhq, request, as_json)


@prepare.command()
@takes(ImagesRequest)
def images(ctx: typer.Context, request: ImagesRequest, as_json: AsJson = False) -> None:
    """Any images of one face each, cut as FFHQ-U is."""
    _prepare(ctx, data.prepare_images, request, as_json)


def _prepare(
    ctx: typer.Context, job: Callable[..., Report], request: PrepareRequest, as_json: bool
) -> None:
    terminal: Terminal = ctx.obj
    terminal.way_on = _WAY_ON
    command = shlex.join(["stylefacev", *terminal.arguments])
    report = job(request, terminal, command)
    if as_json:
        terminal.result(json.dumps(asdict(report) | {"index": str(report.index)}))
    else:
        terminal.result(str(report.index))


@app.command()
@takes(InspectRequest)
def inspect(ctx: typer.Context, request: InspectRequest, as_json: AsJson = False) -> None:
    """Say what a set holds: counts, lengths, poses, licence, and what was skipped and why."""
    terminal: Terminal = ctx.obj
    facts = data.inspect(request)
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
