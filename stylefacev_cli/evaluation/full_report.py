"""Every measurement that can be made, as one report: JSON, text and a page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.evaluation.diversity import DiversityRequest
from stylefacev_cli.evaluation.fid import AUTO, FEATURES_HELP, FidRequest
from stylefacev_cli.evaluation.fvd import FvdRequest
from stylefacev_cli.evaluation.identity import IdentityRequest
from stylefacev_cli.evaluation.landmark_detector import DETECTOR_HELP
from stylefacev_cli.evaluation.metric_list import METRICS
from stylefacev_cli.evaluation.motion import MotionRequest
from stylefacev_cli.evaluation.recomposition import (
    FRAMING_HELP,
    LOOK_HELP,
    RecompositionRequest,
)
from stylefacev_cli.evaluation.reconstruction import ReconstructionRequest
from stylefacev_cli.evaluation.session import EvalSession, Report, StoredReading
from stylefacev_cli.evaluation.video_sources import (
    FAKE_HELP,
    REAL_HELP,
    RateOptions,
    model_of,
)
from stylefacev_cli.version import __version__
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    from stylefacev_cli.evaluation.reports.html_report import Section

CLIP_FRAMES = 16  # of clips for FVD, and at most for diversity
JSON_NAME, PAGE_NAME, TEXT_NAME = "report.json", "report.html", "report.txt"


@dataclass(frozen=True)
class FullReportRequest:
    """Measure everything: FVD with controls, FID, KID, identity, motion, diversity.

    Of a model also recomposition and reconstruction, on people rendered on the spot.

    Writes report.json, the tables as report.txt, and one self-contained report.html with curves
    and the worst and best examples; prints their folder. What cannot be measured is left out, and
    listed with the reason.
    """

    fake: str = option(FAKE_HELP)
    real: str = option(REAL_HELP)
    out: str | None = option(
        "Folder for report.json, .html and .txt.", default="report", metavar="FOLDER"
    )
    clips: int = option("Clips of each side, for FVD.", default=2048, minimum=2, maximum=MAX_COUNT)
    images: int = option(
        "Images of each side, for FID.", default=2048, minimum=4, maximum=MAX_COUNT
    )
    videos: int = option(
        "Videos of each side, for motion and identity.", default=64, minimum=1, maximum=MAX_COUNT
    )
    frames: int | None = option(
        "Frames of those videos.",
        default=None,
        shown_default="64; of shorter videos as many as all have",
        minimum=2,
        maximum=MAX_COUNT,
    )
    pairs: int = option(
        "Rendered pairs of people, for recomposition.", default=64, minimum=2, maximum=MAX_COUNT
    )
    framing: str | None = option(FRAMING_HELP, default=None)
    look: str | None = option(LOOK_HELP, default=None)
    features: str = option(f"Network of FID: {FEATURES_HELP}", default=AUTO)
    rates: RateOptions = group(RateOptions)
    detector: str = option(DETECTOR_HELP, default=DEFAULT_MODEL)
    seed: int = option("Of all that is drawn.", default=0, minimum=0, maximum=MAX_SEED)
    compute: StoredReading = group(StoredReading)


def measure_all(session: EvalSession, request: FullReportRequest) -> Report:
    """The reports of all metrics, below `results`; those left out with the reason, below `skipped`.

    With `request.out` the first process writes them to that folder, too.

    Raises:
        StyleFaceVError: nothing can be measured; the first reason.
    """
    results, skipped, seconds = {}, {}, {}
    failure: StyleFaceVError | None = None
    for name, part in _requests(request).items():
        session.listener.note(f"measuring {name}")
        started_s = time.perf_counter()
        try:
            results[name] = METRICS[name].measure(session, part)
        except StyleFaceVError as error:
            session.listener.note(f"{name} is left out: {error}")
            skipped[name], failure = str(error), failure or error
            continue
        seconds[name] = round(time.perf_counter() - started_s, 1)
    if not results:
        assert failure is not None
        raise failure
    report = {
        "report": 1,
        "made_by": f"stylefacev {__version__}",
        "date": time.strftime("%Y-%m-%d"),
        "results": results,
        "skipped": skipped,
        "seconds": seconds,
        "fake": request.fake,
        "real": request.real,
        "command": session.command,
    }
    if request.out is not None and session.processes.is_first:
        with session.listener.doing("writing the report"):
            write_report(Path(request.out), report)
    session.listener.note(summary(report))
    return report


def _requests(request: FullReportRequest) -> dict[str, Any]:
    """The request of each metric; those of a model only where a model is measured."""
    fake, real, seed, compute = request.fake, request.real, request.seed, request.compute
    short = min(request.frames or CLIP_FRAMES, CLIP_FRAMES)
    over_time: dict[str, Any] = {
        "fake": fake,
        "real": real,
        "clips": request.videos,
        "rates": request.rates,
        "compute": compute,
    }
    requests: dict[str, Any] = {
        "fvd": FvdRequest(
            fake, real, clips=request.clips, frames=CLIP_FRAMES, seed=seed, controls=True,
            rates=request.rates, compute=compute,
        ),
        "fid": FidRequest(
            fake, (real,), images=request.images, features=request.features, seed=seed,
            compute=compute,
        ),
        "identity": IdentityRequest(**over_time, frames=request.frames),
        "motion": MotionRequest(
            **over_time, frames=request.frames, detector=request.detector
        ),
        "diversity": DiversityRequest(
            **over_time, frames=None if request.frames is None else short, seed=seed,
            detector=request.detector,
        ),
    }  # fmt: skip
    model = model_of(fake)
    if model is not None:
        rendered: dict[str, Any] = {
            "model": model, "pairs": request.pairs, "seed": seed, "framing": request.framing,
            "look": request.look, "compute": compute,
        }  # fmt: skip
        requests["recomposition"] = RecompositionRequest(**rendered)
        requests["reconstruction"] = ReconstructionRequest(**rendered)
    return requests


def summary(report: Report) -> str:
    """One line: what was measured, and what was left out."""
    measured, left_out = ", ".join(report["results"]), ", ".join(report["skipped"])
    return f"measured: {measured}" + (f"; left out: {left_out} (reasons above)" if left_out else "")


def write_report(folder: Path, report: Report) -> None:
    """Write report.json, report.html and report.txt.

    Raises:
        StyleFaceVError: the folder cannot be written.
    """
    from stylefacev_cli.common.files import write_file, writing
    from stylefacev_cli.evaluation.reports.headline_figures import figures_of
    from stylefacev_cli.evaluation.reports.html_report import html_page
    from stylefacev_cli.evaluation.reports.sections import section_of

    results: dict[str, Report] = report["results"]
    figures = [figure for result in results.values() for figure in figures_of(result)]
    sections = [section_of(name, result, report["fake"]) for name, result in results.items()]
    title, facts = f"Evaluation of {report['fake']}", report_facts(report)
    contents = {
        JSON_NAME: json.dumps(report) + "\n",
        PAGE_NAME: html_page(title, facts, figures, sections, report),
        TEXT_NAME: "\n".join(_text_lines(facts, sections)) + "\n",
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_file(folder / name, content.encode())


def report_facts(report: Report) -> dict[str, str]:
    """What was measured, how and when, and what was left out and why."""
    facts = {
        "generated": report["fake"],
        "real": report["real"],
        "command": report["command"],
        "made by": f"{report['made_by']}, {report['date']}",
        "seconds": ", ".join(f"{name} {value}" for name, value in report["seconds"].items()),
    }
    return facts | {f"no {name}": reason for name, reason in report["skipped"].items()}


def full_table(report: Report) -> Iterator[str]:
    """The tables of all metrics as lines, without pictures."""
    from stylefacev_cli.evaluation.reports.html_report import Section

    sections = [
        Section(name, list(METRICS[name].table(one)), one.get("warnings", ()))
        for name, one in report["results"].items()
    ]
    yield from _text_lines(report_facts(report), sections)


def _text_lines(facts: dict[str, str], sections: list[Section]) -> Iterator[str]:
    width = max(map(len, facts)) + 2
    yield from (f"{name:{width}}{text}" for name, text in facts.items())
    for section in sections:
        yield from ("", section.title, "-" * len(section.title))
        yield from (f"warning: {text}" for text in section.warnings)
        yield from section.lines
