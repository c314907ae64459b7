"""`stylefacev eval all`: every measurement that can be made, as a page, as text and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from stylefacev_cli.cli import (
    eval_diversity,
    eval_fid,
    eval_fvd,
    eval_identity,
    eval_motion,
    eval_recomposition,
    eval_reconstruction,
)
from stylefacev_cli.cli.detectors import DetectorOption
from stylefacev_cli.cli.figures import figures_of
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.report_page import Section, page
from stylefacev_cli.cli.report_sections import section_of
from stylefacev_cli.cli.reports import Report, laboratory
from stylefacev_cli.cli.sources import model_of
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.version import __version__
from stylefacev_cli.weights.locate import DEFAULT_MODEL

SHORT_FRAMES = 16  # of clips for FVD and for diversity
JSON_NAME, PAGE_NAME, TEXT_NAME = "report.json", "report.html", "report.txt"
OFFLINE_FEATURES = "efficientnet-lite0"


def evaluate_all(
    ctx: typer.Context,
    fake: Annotated[str, typer.Option("--fake", help="Made videos, as for `eval fvd`.")],
    real: Annotated[str, typer.Option("--real", help="Real videos, in the same forms.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.json, .html and .txt.")
    ] = Path("report"),
    clips: Annotated[int, typer.Option("--clips", help="Clips of each side, for FVD.")] = 2048,
    images: Annotated[int, typer.Option("--images", help="Images of each side, for FID.")] = 2048,
    videos: Annotated[
        int, typer.Option("--videos", help="Videos of each side, for motion and identity.")
    ] = 64,
    frames: Annotated[int, typer.Option("--frames", help="Frames of those videos.")] = 64,
    pairs: Annotated[
        int, typer.Option("--pairs", min=2, help="Rendered pairs of people, for recomposition.")
    ] = 64,
    framing: eval_recomposition.Framing = None,
    look: eval_recomposition.Look = None,
    features: Annotated[
        str, typer.Option("--features", help="Network of FID, as for `eval fid`.")
    ] = OFFLINE_FEATURES,
    fps: Annotated[
        float | None,
        typer.Option("--fps", min=1, help="Frames a second, where the source does not say."),
    ] = None,
    detector: DetectorOption = DEFAULT_MODEL,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 0,
    skip_damaged: SkipDamaged = False,
    no_cache: NoCache = False,
    threads: Threads = None,
) -> None:
    """Measure everything: FVD with controls, FID, KID, identity, motion, diversity.

    Of a model also recomposition and reconstruction, on people rendered on the spot.

    Writes report.json, the tables as report.txt, and one self-contained report.html with curves
    and the worst and best examples; prints their folder. What cannot be measured is listed with
    the reason.
    """
    from stylefacev_cli.metrics.fvd import FvdProtocol

    protocol = FvdProtocol(clips, SHORT_FRAMES)
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged, use_store=not no_cache) as lab:
        model = model_of(fake)
        jobs: dict[str, Callable[[], Report]] = {
            "fvd": lambda: eval_fvd.measure_fvd(lab, protocol, fake, real, seed, controls=True),
            "fid": lambda: eval_fid.measure_fid(
                lab, fake, [real], images, 1, features, "clean", seed
            ),
            "identity": lambda: eval_identity.measure_identity(
                lab, fake, real, clips=videos, frames=frames
            ),
            "motion": lambda: eval_motion.measure_motion(
                lab, fake, real, videos, frames, fps, detector
            ),
            "diversity": lambda: eval_diversity.measure_diversity(
                lab,
                fake,
                real,
                clips=videos,
                frames=min(frames, SHORT_FRAMES),
                seed=seed,
                detector=detector,
            ),
        }
        if model is not None:
            jobs["recomposition"] = lambda: eval_recomposition.measure_recomposition(
                lab, model, num_pairs=pairs, seed=seed, framing=framing, look=look
            )
            jobs["reconstruction"] = lambda: eval_reconstruction.measure_reconstruction(
                lab, model, num_pairs=pairs, seed=seed, framing=framing, look=look
            )
        report = _measured(lab, jobs)
        report |= {"fake": fake, "real": real, "command": _command(lab)}
        if lab.processes.is_first:
            _write(out, report, frames)
            lab.terminal.result(str(out))


def _measured(lab: Laboratory, jobs: dict[str, Callable[[], Report]]) -> dict[str, Any]:
    results, skipped, seconds = {}, {}, {}
    failure: StyleFaceVError | None = None
    for name, measure in jobs.items():
        lab.terminal.note(f"measuring {name}")
        started = time.perf_counter()
        try:
            results[name] = measure()
        except StyleFaceVError as error:
            lab.terminal.note(f"{name} cannot be measured: {error}")
            skipped[name], failure = str(error), failure or error
            continue
        seconds[name] = round(time.perf_counter() - started, 1)
    if not results:
        assert failure is not None
        raise failure
    return {
        "report": 1,
        "made_by": f"stylefacev {__version__}",
        "date": time.strftime("%Y-%m-%d"),
        "results": results,
        "skipped": skipped,
        "seconds": seconds,
    }


def _command(lab: Laboratory) -> str:
    import shlex

    return shlex.join(["stylefacev", *lab.terminal.arguments])


def _write(out: Path, report: dict[str, Any], frames: int) -> None:
    from stylefacev_cli.common.files import write_file, writing

    facts = {
        "made": report["fake"],
        "real": report["real"],
        "command": report["command"],
        "made by": f"{report['made_by']}, {report['date']}",
        "seconds": ", ".join(f"{name} {value}" for name, value in report["seconds"].items()),
    }
    facts |= {f"no {name}": reason for name, reason in report["skipped"].items()}
    results: dict[str, Report] = report["results"]
    figures = [figure for result in results.values() for figure in figures_of(result)]
    sections = [section_of(name, one, report["fake"], frames) for name, one in results.items()]
    html = page(f"Evaluation of {report['fake']}", facts, figures, sections, report)
    text = "\n".join(_as_text(facts, sections)) + "\n"
    contents = {JSON_NAME: json.dumps(report) + "\n", PAGE_NAME: html, TEXT_NAME: text}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_file(out / name, content.encode())


def _as_text(facts: dict[str, str], sections: list[Section]) -> Iterator[str]:
    width = max(map(len, facts)) + 2
    yield from (f"{name:{width}}{text}" for name, text in facts.items())
    for section in sections:
        yield from ("", section.title, "-" * len(section.title))
        yield from (f"warning: {text}" for text in section.warnings)
        yield from section.lines
