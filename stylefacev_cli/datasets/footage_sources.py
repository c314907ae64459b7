"""Files of raw footage: which a folder holds, which person is in each, which are skipped by name.

RAVDESS (Livingstone & Russo 2018) names its files by seven numbers:
modality-vocal channel-emotion-intensity-statement-repetition-actor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, find_media

KINDS = ("ravdess", "ffhq", "videos", "images")
FACE_JSON_POINTS = 68

AUDIO_ONLY = "audio only"
SAME_PICTURES = "same pictures as the file with sound"
OTHER_CHANNEL = "other vocal channel"
OTHER_NAME = "not named as in RAVDESS"
NO_LANDMARKS = "not in the landmarks' file"

_RAVDESS = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
_WITH_SOUND, _AUDIO_ONLY = "01", "03"
_CHANNELS = {"speech": "01", "song": "02"}


@dataclass(frozen=True)
class Source:
    """One file of raw footage."""

    path: Path
    name: str  # its path relative to the footage, with forward slashes
    person: str
    skip: str | None = None  # why it is left aside, if its name says so already
    landmarks: NDArray[np.float32] | None = None  # [68, 2] px, where they came with the footage
    split: str | None = None  # where it came with the footage

    def __str__(self) -> str:
        return self.name


def find_sources(kind: str, folder: Path, *, vocal: str, person_from: str) -> list[Source]:
    """The files of a folder in natural order, then those that are not read, with the reason.

    Args:
        kind: one of `KINDS`.
        folder: of the footage; subfolders are searched too.
        vocal: `speech`, `song` or `both`, of RAVDESS.
        person_from: `folder` (the file's own folder; in the top folder the file) or `file`.

    Raises:
        DataError: there is no such folder, or no such file in it.
    """
    suffixes: tuple[str, ...] = VIDEO_SUFFIXES if kind in ("ravdess", "videos") else IMAGE_SUFFIXES
    if kind == "ravdess":
        suffixes += (".wav",)
    media = find_media(folder, suffixes)
    paths = media.paths
    if not paths:
        raise DataError(f"{folder} holds no files of {kind} ({', '.join(suffixes)})")
    names = {path.stem for path in paths}
    sources = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if kind == "ravdess":
            sources.append(_of_ravdess(path, name, names, vocal))
        else:
            in_folder = person_from == "folder" and path.parent != folder
            person = path.parent.relative_to(folder).as_posix() if in_folder else path.stem
            sources.append(Source(path, name, person))
    left = [Source(folder / one.name, one.name, "", one.reason) for one in media.passed_over]
    return sources + left


def _of_ravdess(path: Path, name: str, names: set[str], vocal: str) -> Source:
    match = _RAVDESS.fullmatch(path.stem)
    if match is None:
        return Source(path, name, "", skip=OTHER_NAME)
    modality, channel, *_, actor = match.groups()
    skip = None
    if modality == _AUDIO_ONLY or path.suffix.lower() == ".wav":
        skip = AUDIO_ONLY
    elif vocal != "both" and channel != _CHANNELS[vocal]:
        skip = OTHER_CHANNEL
    elif modality != _WITH_SOUND and f"{_WITH_SOUND}{path.stem[2:]}" in names:
        skip = SAME_PICTURES
    return Source(path, name, str(int(actor)), skip)


def with_ffhq_landmarks(sources: list[Source], path: Path) -> list[Source]:
    """Give images the landmarks and the split of FFHQ's own `ffhq-dataset-v2.json`.

    Images are found by the number that is their name, as in `in-the-wild-images/00000/00000.png`.

    Raises:
        DataError: it is not such a file.
    """
    found = {name: (points, split) for name, points, split in _read_ffhq(path)}
    if not found:
        raise DataError(f"{path} is not FFHQ's ffhq-dataset-v2.json: it has no entries")
    joined = []
    for source in sources:
        if source.skip is not None:
            joined.append(source)
            continue
        points, split = found.get(source.path.stem, (None, None))
        skip = NO_LANDMARKS if points is None else None
        joined.append(Source(source.path, source.name, source.person, skip, points, split))
    return joined


def _read_ffhq(path: Path) -> Iterator[tuple[str, NDArray[np.float32], str | None]]:
    """Name, landmarks and split of each entry; one entry at a time, since the file is large."""
    wrong = f"{path} is not FFHQ's ffhq-dataset-v2.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    decoder = json.JSONDecoder()
    key = re.compile(r'[\s,{]*"(\d+)"\s*:\s*')
    splits = {"training": "train", "validation": "val"}
    at, end = 0, len(text.rstrip()) - 1
    try:
        while at < end:
            match = key.match(text, at)
            if match is None:
                raise ValueError
            entry, at = decoder.raw_decode(text, match.end())
            wild = entry["in_the_wild"]
            points = np.asarray(wild["face_landmarks"], np.float32)
            if points.shape != (FACE_JSON_POINTS, 2) or not np.isfinite(points).all():
                raise ValueError
            # Theirs count from the centre of the first pixel, ours from its corner.
            yield Path(wild["file_path"]).stem, points + 0.5, splits.get(entry.get("category"))
            at += len(text[at : at + 64]) - len(text[at : at + 64].lstrip())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{wrong}: no entries with in_the_wild.face_landmarks") from error
