"""From a request to a prepared set: its footage, face finder, origin and report.

find_sources → open_face_finder → prepare_set → Report
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.common.listener import Listener
from stylefacev_cli.common.options import flat_values
from stylefacev_cli.datasets.clip_maker import PrepareSettings
from stylefacev_cli.datasets.footage_sources import Source, find_sources, with_ffhq_landmarks
from stylefacev_cli.datasets.requests import (
    FFHQ_LICENCE,
    NO_LICENCE,
    RAVDESS_LICENCE,
    FfhqRequest,
    PrepareRequest,
)
from stylefacev_cli.datasets.set_builder import Origin, Progress, Report, prepare_set
from stylefacev_cli.detection.face_finders import open_face_finder
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.version import __version__

_LICENCES = {"ravdess": RAVDESS_LICENCE, "ffhq": FFHQ_LICENCE}


def prepare(request: PrepareRequest, listener: Listener, command: str) -> Report:
    """Cut the faces out of footage into a set of clips or images; an interrupted run goes on.

    Args:
        request: the footage, and how it is cut.
        listener: shows how many files are done, and notes what was skipped.
        command: how this was asked for, for the manifest.

    Returns:
        The set's index, and what it holds and lacks.

    Raises:
        UsageError: a value is out of range, or the folder holds something else.
        DataError: there is no footage, or nothing could be made of it.
        MissingWeightsError: the face finder has no weights.
        StyleFaceVError: a worker died, or another run prepares this set.
    """
    common = request.common
    settings = settings_of(request)
    sources = _sources(request, settings)
    # The finder is opened here once: missing weights are reported before the first worker starts.
    face_finder_facts, sources = _face_finder(request, settings, sources)
    origin = Origin(
        made_by=f"stylefacev {__version__}",
        command=command,
        source=str(common.src),
        licence=common.licence or _LICENCES.get(request.kind, NO_LICENCE),
        detector=face_finder_facts,
    )
    with listener.progress(len(sources), "files") as advance:
        shown = 0

        def report(progress: Progress) -> None:
            nonlocal shown
            for _ in range(progress.num_done - shown):
                advance(progress.name.rpartition("/")[2])
            shown = progress.num_done

        done = prepare_set(
            sources,
            settings,
            origin,
            common.dst,
            num_workers=common.workers,
            device=common.device,
            report=report,
        )
    if done.skipped:
        why = ", ".join(f"{number} {reason}" for reason, number in done.skipped.items())
        listener.note(f"skipped: {why}; {common.dst / 'sources.jsonl'} tells more")
    for text, number in done.noted.items():
        listener.note(f"{number} file{'s' if number > 1 else ''}: {text}")
    if origin.licence == NO_LICENCE:
        listener.note("the footage's licence is not stated: --licence puts it into the manifest")
    return done


def settings_of(request: PrepareRequest) -> PrepareSettings:
    """The settings that the manifest of the set records.

    Raises:
        UsageError: a value is out of range, or two contradict each other.
    """
    common = request.common
    people = tuple(sorted(set(common.val_people)))
    if people and common.val_permille is not None:
        raise UsageError("give --val-permille or --val-person, not both")
    recorded = {field.name for field in dataclasses.fields(PrepareSettings)}
    values = {name: value for name, value in flat_values(request).items() if name in recorded}
    values |= {"kind": request.kind, "val_people": people}
    if common.min_window_px is None:
        values["min_window_px"] = common.size_px // 2
    if isinstance(request, FfhqRequest):
        values["person_from"] = "file"
        if request.landmarks is not None:
            values["landmarks_sha256"] = _hash_of(request.landmarks)
    return PrepareSettings(**values)


def _hash_of(landmarks: Path) -> str:
    if not landmarks.is_file():
        raise DataError(f"--landmarks {landmarks}: no such file")
    return sha256_of(landmarks)


def _sources(request: PrepareRequest, settings: PrepareSettings) -> list[Source]:
    src = request.common.src
    sources = find_sources(
        request.kind, src, vocal=settings.vocal, person_from=settings.person_from
    )
    missing = set(settings.val_people) - {source.person for source in sources}
    if missing:
        raise UsageError(f"--val-person {sorted(missing)[0]}: there is no such person in {src}")
    return sources


def _face_finder(
    request: PrepareRequest, settings: PrepareSettings, sources: list[Source]
) -> tuple[dict[str, Any], list[Source]]:
    """What finds the faces, for the manifest; and the sources, with landmarks where given."""
    if settings.keep_frames:
        return {"name": "none"}, sources
    if isinstance(request, FfhqRequest) and request.landmarks is not None:
        facts = {"name": request.landmarks.name, "sha256": settings.landmarks_sha256}
        return facts, with_ffhq_landmarks(sources, request.landmarks)
    face_finder = open_face_finder(settings.detector, request.common.device, settings.min_window_px)
    return face_finder.facts, sources
