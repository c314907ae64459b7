"""`stylefacev data prepare`: raw footage → a set of clips or images for training."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import UsageError
from stylefacev_cli.version import __version__

app = typer.Typer(
    name="prepare",
    help="Cut faces out of footage: one fixed window a clip, one unrotated crop an image.",
    no_args_is_help=True,
)

_CC_BY_NC_SA = "CC-BY-NC-SA-4.0"
_NO_LICENCE = "not stated"

Footage = Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the footage.")]
Out = Annotated[
    Path, typer.Argument(metavar="DST", help="Folder for the set; continued if it exists.")
]
Size = Annotated[int, typer.Option("--size", help="Side of the frames in pixels.")]
Detector = Annotated[
    str,
    typer.Option(
        "--detector",
        metavar="face-alignment|MODEL",
        help="Finder of faces: face-alignment (needs its weights), or the landmark detector of a "
        "model, as default-128: for rendered footage, offline.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="Where the finder runs: cpu, cuda, mps.")]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes at work; one thread each.")
]
MinWindow = Annotated[
    int | None,
    typer.Option("--min-window", help="Skip windows smaller than so many pixels; half of --size."),
]
Licence = Annotated[str, typer.Option("--licence", help="Of the footage; kept in the manifest.")]
ValPermille = Annotated[
    int | None,
    typer.Option(
        "--val-permille",
        help="Fix the split: so many in 1000 persons are held out. By default training decides, by "
        "the same rule.",
    ),
]
ValPerson = Annotated[
    list[str] | None,
    typer.Option("--val-person", help="Fix the split: hold out this person; can be repeated."),
]
PersonFrom = Annotated[
    str,
    typer.Option(
        "--person-from",
        help="What tells persons apart: folder (in SRC itself: the file's name) or file.",
    ),
]
Margin = Annotated[
    float, typer.Option("--margin", help="Around the faces, on each side, as a fraction.")
]
MinFrames = Annotated[int, typer.Option("--min-frames", help="Skip shorter clips.")]
MaxFrames = Annotated[int, typer.Option("--max-frames", help="Cut longer clips, evenly.")]
Step = Annotated[int, typer.Option("--step", help="Take each so-many-th frame.")]
SearchEvery = Annotated[
    int,
    typer.Option(
        "--search-every",
        help="Frames from one search of the whole picture to the next; between them the face is "
        "followed.",
    ),
]
RandomShift = Annotated[
    float,
    typer.Option("--random-shift", help="Standard deviation of the shift, in sides of the crop."),
]
Tries = Annotated[
    int, typer.Option("--tries", help="Shifts drawn, smaller and smaller, before an image fits.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the shifts.")]


KeepFrames = Annotated[
    bool,
    typer.Option(
        "--keep-frames",
        help="Frames as they are, of square videos that are cut already: no face is looked for, "
        "and there are no landmarks beside them.",
    ),
]


@app.command()
def ravdess(
    ctx: typer.Context,
    src: Footage,
    dst: Out,
    size: Size = 256,
    vocal: Annotated[str, typer.Option("--vocal", help="speech, song or both.")] = "both",
    margin: Margin = 0.0,
    min_frames: MinFrames = 60,
    max_frames: MaxFrames = 300,
    step: Step = 1,
    search_every: SearchEvery = 24,
    min_window: MinWindow = None,
    detector: Detector = "face-alignment",
    device: Device = "cpu",
    workers: Workers = 1,
    val_permille: ValPermille = None,
    val_person: ValPerson = None,
    licence: Licence = _CC_BY_NC_SA,
    as_json: AsJson = False,
) -> None:
    """RAVDESS as it comes: actors become persons, files without pictures or twins are skipped.

    Of 01-… (with sound) and 02-… (without), which show the same, the first is taken.
    """
    settings = {
        "size_px": size, "vocal": vocal, "margin": margin, "min_frames": min_frames,
        "max_frames": max_frames, "step": step, "search_every": search_every,
    }  # fmt: skip
    _prepare(
        ctx, "ravdess", src, dst, settings, min_window, detector, device, workers,
        val_permille, val_person, licence, as_json,
    )  # fmt: skip


@app.command()
def videos(
    ctx: typer.Context,
    src: Footage,
    dst: Out,
    size: Size = 256,
    person_from: PersonFrom = "folder",
    margin: Margin = 0.0,
    min_frames: MinFrames = 60,
    max_frames: MaxFrames = 300,
    step: Step = 1,
    search_every: SearchEvery = 24,
    keep_frames: KeepFrames = False,
    min_window: MinWindow = None,
    detector: Detector = "face-alignment",
    device: Device = "cpu",
    workers: Workers = 1,
    val_permille: ValPermille = None,
    val_person: ValPerson = None,
    licence: Licence = _NO_LICENCE,
    as_json: AsJson = False,
) -> None:
    """Any videos of one person each; cut where the face is lost, jumps, or another one comes in."""
    settings = {
        "size_px": size, "person_from": person_from, "margin": margin, "min_frames": min_frames,
        "max_frames": max_frames, "step": step, "search_every": search_every,
        "keep_frames": keep_frames,
    }  # fmt: skip
    _prepare(
        ctx, "videos", src, dst, settings, min_window, detector, device, workers,
        val_permille, val_person, licence, as_json,
    )  # fmt: skip


@app.command()
def ffhq(
    ctx: typer.Context,
    src: Footage,
    dst: Out,
    size: Size = 256,
    landmarks: Annotated[
        Path | None,
        typer.Option(
            "--landmarks",
            metavar="JSON",
            help="ffhq-dataset-v2.json: its landmarks and split; no finder is needed then.",
        ),
    ] = None,
    random_shift: RandomShift = 0.1,
    tries: Tries = 20,
    seed: Seed = 0,
    min_window: MinWindow = None,
    detector: Detector = "face-alignment",
    device: Device = "cpu",
    workers: Workers = 1,
    val_permille: ValPermille = None,
    val_person: ValPerson = None,
    licence: Licence = _CC_BY_NC_SA,
    as_json: AsJson = False,
) -> None:
    """FFHQ's in-the-wild images → FFHQ-U: not rotated, shifted at random, never padded."""
    settings = {
        "size_px": size, "random_shift": random_shift, "tries": tries, "seed": seed,
        "person_from": "file",
    }  # fmt: skip
    _prepare(
        ctx, "ffhq", src, dst, settings, min_window, detector, device, workers,
        val_permille, val_person, licence, as_json, landmarks,
    )  # fmt: skip


@app.command()
def images(
    ctx: typer.Context,
    src: Footage,
    dst: Out,
    size: Size = 256,
    person_from: PersonFrom = "folder",
    random_shift: RandomShift = 0.1,
    tries: Tries = 20,
    seed: Seed = 0,
    min_window: MinWindow = None,
    detector: Detector = "face-alignment",
    device: Device = "cpu",
    workers: Workers = 1,
    val_permille: ValPermille = None,
    val_person: ValPerson = None,
    licence: Licence = _NO_LICENCE,
    as_json: AsJson = False,
) -> None:
    """Any images of one face each, cut as FFHQ-U is."""
    settings = {
        "size_px": size, "random_shift": random_shift, "tries": tries, "seed": seed,
        "person_from": person_from,
    }  # fmt: skip
    _prepare(
        ctx, "images", src, dst, settings, min_window, detector, device, workers,
        val_permille, val_person, licence, as_json,
    )  # fmt: skip


def _prepare(
    ctx: typer.Context,
    kind: str,
    src: Path,
    dst: Path,
    wishes: dict[str, Any],
    min_window: int | None,
    detector: str,
    device: str,
    workers: int,
    val_permille: int | None,
    val_person: list[str] | None,
    licence: str,
    as_json: bool,
    landmarks: Path | None = None,
) -> None:
    with holding_signals():
        from stylefacev_cli.common.hashing import sha256_of
        from stylefacev_cli.datasets.clip_maker import PrepareSettings
        from stylefacev_cli.datasets.footage_sources import find_sources, with_ffhq_landmarks
        from stylefacev_cli.datasets.set_builder import Origin, Progress, prepare_set
        from stylefacev_cli.detection.face_finders import open_finder

    terminal: Terminal = ctx.obj
    people = tuple(sorted(set(val_person or ())))
    if people and val_permille is not None:
        raise UsageError("give --val-permille or --val-person, not both")
    settings = PrepareSettings(
        kind=kind,
        detector=detector,
        min_window_px=wishes["size_px"] // 2 if min_window is None else min_window,
        val_permille=val_permille,
        val_people=people,
        landmarks_sha256=None if landmarks is None else _hash(landmarks, sha256_of),
        **wishes,
    )
    sources = find_sources(kind, src, vocal=settings.vocal, person_from=settings.person_from)
    missing = set(people) - {source.person for source in sources}
    if missing:
        raise UsageError(f"--val-person {sorted(missing)[0]}: there is no such person in {src}")
    if settings.keep_frames:
        facts: dict[str, Any] = {"name": "none"}
    elif landmarks is None:
        # Asked for here, once: what is missing must be told before the first worker starts.
        facts = open_finder(detector, device, settings.min_window_px).facts
    else:
        sources = with_ffhq_landmarks(sources, landmarks)
        facts = {"name": landmarks.name, "sha256": settings.landmarks_sha256}
    command = shlex.join(["stylefacev", *terminal.arguments])
    origin = Origin(f"stylefacev {__version__}", command, str(src), licence, facts)
    terminal.way_on = "; run the same command again to go on"
    with terminal.progress(len(sources), "files") as advance:
        shown = 0

        def report(progress: Progress) -> None:
            nonlocal shown
            for _ in range(progress.num_done - shown):
                advance(progress.name.rpartition("/")[2])
            shown = progress.num_done

        made = prepare_set(
            sources, settings, origin, dst, num_workers=workers, device=device, report=report
        )
    if made.skipped:
        why = ", ".join(f"{number} {reason}" for reason, number in made.skipped.items())
        terminal.note(f"skipped: {why}; {dst / 'sources.jsonl'} tells more")
    if licence == _NO_LICENCE:
        terminal.note("the footage's licence is not stated: --licence puts it into the manifest")
    if as_json:
        terminal.result(json.dumps(asdict(made) | {"index": str(made.index)}))
    else:
        terminal.result(str(made.index))


def _hash(path: Path, sha256_of: Any) -> str:
    if not path.is_file():
        raise UsageError(f"--landmarks {path}: no such file")
    return str(sha256_of(path))
