"""One file of raw footage → clips or an image of a prepared set, or the reasons for skipping it."""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.common.threads import set_num_threads
from stylefacev_cli.datasets.clips import MAX_STRIP_PIXELS, ClipEntry, write_clip
from stylefacev_cli.datasets.footage_sources import KINDS, Source
from stylefacev_cli.datasets.source_report import DAMAGED, Prepared, file_facts
from stylefacev_cli.datasets.splits import identity_number, is_held_out
from stylefacev_cli.detection import FACE_MESH
from stylefacev_cli.detection.crop_window import (
    NO_FACE,
    TOO_SMALL,
    TWO_FACES,
    Run,
    RunRule,
    Window,
    face_squares,
    fit_window,
    shifted_window,
    split_runs,
    whole_frames,
)
from stylefacev_cli.detection.face_finders import (
    FaceFinder,
    TrackRule,
    find_in_picture,
    open_face_finder,
)
from stylefacev_cli.errors import DataError, StyleFaceVWarning, UsageError
from stylefacev_cli.media import frame_rate, read_frames
from stylefacev_cli.media.images import read_image
from stylefacev_cli.media.reader import notes_on
from stylefacev_cli.networks.stylefacev.landmarks import key_points_from_landmarks

U8 = NDArray[np.uint8]

_VISIBLE = 0.3  # score from which on a landmark counts as seen


@dataclass(frozen=True)
class PrepareSettings:
    """How footage is prepared; what a set's manifest records, and a later run must repeat."""

    kind: str
    size_px: int = 256
    detector: str = FACE_MESH  # or face-alignment, or a model whose landmark detector is used
    margin: float = 0.0  # around the faces of a clip, on each side
    min_frames: int = 60  # of a clip
    max_frames: int = 300  # of a clip; longer runs are cut evenly
    step: int = 1  # each step-th frame is taken
    search_every: int = 24  # frames from one search of the whole picture to the next
    random_shift: float = 0.1  # of images: standard deviation, in sides of the window
    tries: int = 20  # of random shifts
    min_window_px: int = 128  # smaller windows would be blown up too much
    seed: int = 0  # of random shifts
    vocal: str = "both"  # RAVDESS: speech, song or both
    person_from: str = "folder"  # or file
    val_permille: int | None = None  # of the persons; None: training decides
    val_people: tuple[str, ...] = ()  # persons held out by name
    landmarks_sha256: str | None = None  # of FFHQ's file of landmarks
    keep_frames: bool = False  # of videos that are cut already: no face is looked for

    def __post_init__(self) -> None:
        """Check the values once."""
        limits: dict[str, tuple[float, float, float]] = {
            "size": (self.size_px, 16, 1024),
            "margin": (self.margin, 0, 1),
            "min-frames": (self.min_frames, 1, 10_000),
            "max-frames": (self.max_frames, self.min_frames, 10_000),
            "step": (self.step, 1, 1000),
            "search-every": (self.search_every, 1, 1000),
            "random-shift": (self.random_shift, 0, 0.5),
            "tries": (self.tries, 0, 1000),
            "min-window": (self.min_window_px, 16, 4096),
            "seed": (self.seed, 0, 2**63 - 1),
            "val-permille": (self.val_permille or 0, 0, 1000),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UsageError(f"--{name} {value}: give a number from {low} to {high}")
        choices = {
            "vocal": (self.vocal, ("speech", "song", "both")),
            "person-from": (self.person_from, ("folder", "file")),
        }
        for name, (choice, known) in choices.items():
            if choice not in known:
                raise UsageError(f"--{name} {choice}: choose {', '.join(known)}")
        assert self.kind in KINDS
        if self.is_video and self.size_px**2 * self.max_frames > MAX_STRIP_PIXELS:
            most = MAX_STRIP_PIXELS // self.size_px**2
            raise UsageError(
                f"--max-frames {self.max_frames} at --size {self.size_px}: clips are held in "
                f"memory; give at most {most}"
            )

    @property
    def is_video(self) -> bool:
        """Whether the footage moves."""
        return self.kind in ("ravdess", "videos")


def start_worker(
    settings: PrepareSettings, folder: Path, set_name: str, device: str
) -> Callable[[Source], Prepared]:
    """Make the function that prepares a file (errors as for `open_face_finder`)."""
    set_num_threads(1)  # the same numbers, whatever the number of workers
    face_finder: FaceFinder | None = None

    def prepare(source: Source) -> Prepared:
        nonlocal face_finder
        if face_finder is None and source.landmarks is None and not settings.keep_frames:
            face_finder = open_face_finder(settings.detector, device, settings.min_window_px)
        return prepare_source(source, settings, folder, set_name, face_finder)

    return prepare


def prepare_source(
    source: Source,
    settings: PrepareSettings,
    folder: Path,
    set_name: str,
    face_finder: FaceFinder | None,
) -> Prepared:
    """Prepare one file.

    Args:
        source: the file.
        settings: how.
        folder: of the set; strips and labels are written to it, the index is not.
        set_name: its name, on which the split depends.
        face_finder: of faces; not needed where landmarks came with the footage, or frames are kept.

    Raises:
        OSError: the set cannot be written.
    """
    file = file_facts(source.path)
    done = Prepared(source.name)
    writer = _ClipWriter(settings, folder, set_name)
    said = list[str]()
    try:
        with _collecting(said):
            if settings.keep_frames:
                _prepare_whole_frames(source, writer, done)
            elif settings.is_video:
                assert face_finder is not None
                _prepare_video(source, writer, face_finder, done)
            else:
                _prepare_image(source, writer, face_finder, done)
        said += notes_on(source.path) if settings.is_video else []
    except DataError as error:
        done = Prepared(source.name)
        detail = str(error).replace(str(source.path), source.name)
        # Addresses in ffmpeg's messages are other ones in every run.
        done.skip(DAMAGED, detail=re.sub(r" @ 0x[0-9a-f]+", "", detail))
    done.notes = [text.removeprefix(f"{source.path}: ") for text in said]
    done.file = file
    return done


@contextlib.contextmanager
def _collecting(said: list[str]) -> Iterator[None]:
    """Collect what is worth knowing of a file, which stops nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StyleFaceVWarning)
        yield
    said += dict.fromkeys(
        str(one.message) for one in caught if issubclass(one.category, StyleFaceVWarning)
    )


# --- videos ----------------------------------------------------------------------------------


def _prepare_video(
    source: Source,
    writer: _ClipWriter,
    face_finder: FaceFinder,
    done: Prepared,
) -> None:
    """Two passes: first where the face is in every frame, then the windows are cut out."""
    settings = writer.settings
    rate = frame_rate(source.path) or 0.0
    frames = _frames(source.path, settings.step)
    rule = TrackRule(rate / settings.step, settings.search_every, is_alone=True)
    track = face_finder.track(frames, rule, source.name)
    chosen: list[tuple[Run, Window]] = []
    usable = np.array([reason is None for reason in track.reasons])
    squares = np.full((len(usable), 3), np.nan)
    squares[usable] = face_squares(track.landmarks[usable])
    run_rule = RunRule(settings.min_frames, settings.max_frames)
    for run in split_runs(squares, track.reasons, run_rule):
        part = slice(run.first, run.last)
        window: Window | str | None = run.reason
        if window is None:
            window = fit_window(
                squares[part], track.landmarks[part], track.width, track.height, settings.margin
            )
        if isinstance(window, Window) and window.side < settings.min_window_px:
            done.skip(TOO_SMALL, frames=[run.first, run.last], side_px=window.side)
        elif isinstance(window, Window):
            chosen.append((run, window))
        else:
            done.skip(str(window), frames=[run.first, run.last])
    cut = _cut_runs(source.path, settings, chosen)
    for number, (frames_cut, (run, window)) in enumerate(zip(cut, chosen, strict=True)):
        part = slice(run.first, run.last)
        labels = _labels(track.landmarks[part], track.scores[part], window)
        labels["first_frame"] = np.array(run.first * settings.step)
        fps = rate / settings.step
        writer.write(number, frames_cut, labels, fps, source, done)


def _prepare_whole_frames(source: Source, writer: _ClipWriter, done: Prepared) -> None:
    """Whole frames: they are counted first, then cut evenly where a clip would grow too long."""
    settings = writer.settings
    num_frames, shape = 0, (0, 0)
    for picture in _frames(source.path, settings.step):
        if num_frames and picture.shape[:2] != shape:
            raise DataError(f"{source.name}: the size of its frames changes; cut it there")
        num_frames, shape = num_frames + 1, picture.shape[:2]
    if not num_frames:
        raise DataError(f"{source.name} has no frames")
    window = whole_frames(width=shape[1], height=shape[0])
    if isinstance(window, str):
        done.skip(window, width_px=shape[1], height_px=shape[0])
        return
    rule = RunRule(settings.min_frames, settings.max_frames)
    runs = split_runs(np.ones((num_frames, 3)), [None] * num_frames, rule)
    for run in runs:
        if run.reason is not None:
            done.skip(run.reason, frames=[run.first, run.last])
    kept = [(run, window) for run in runs if run.reason is None]
    fps = (frame_rate(source.path) or 0.0) / settings.step
    for number, frames in enumerate(_cut_runs(source.path, settings, kept)):
        first = np.array(kept[number][0].first * settings.step)
        labels = {"window": np.array(window), "first_frame": first}
        writer.write(number, frames, labels, fps, source, done)


def _frames(path: Path, step: int) -> Iterator[U8]:
    return islice(read_frames(path), 0, None, step)


def _cut_runs(
    path: Path, settings: PrepareSettings, chosen: list[tuple[Run, Window]]
) -> Iterator[U8]:
    """The frames of each run, [T, S, S, 3]; the video is read once, one run is in memory."""
    if not chosen:
        return
    frames, at = _frames(path, settings.step), 0
    for run, window in chosen:
        frames = islice(frames, run.first - at, None)
        at = run.last
        pictures = islice(frames, run.last - run.first)
        strip = [window.cut(picture, settings.size_px) for picture in pictures]
        if len(strip) < run.last - run.first:
            raise DataError(f"{path} was shorter when it was read again; leave it alone meanwhile")
        yield np.stack(strip)


# --- images ----------------------------------------------------------------------------------


def _prepare_image(
    source: Source,
    writer: _ClipWriter,
    face_finder: FaceFinder | None,
    done: Prepared,
) -> None:
    settings = writer.settings
    given = source.landmarks
    picture = read_image(source.path, upright=given is None)
    if given is not None:
        landmarks, scores = given, np.ones(len(given), np.float32)
    else:
        assert face_finder is not None
        found = find_in_picture(face_finder, picture)
        if len(found) != 1:
            done.skip(TWO_FACES if found else NO_FACE)
            return
        landmarks, scores = found[0].landmarks, found[0].scores
    height, width = picture.shape[:2]
    seed = hashlib.sha256(f"{settings.seed}/{source.name}".encode()).digest()
    window = shifted_window(
        landmarks,
        width,
        height,
        shift=settings.random_shift,
        tries=settings.tries,
        random=np.random.default_rng(list(seed[:16])),
    )
    if isinstance(window, str):
        done.skip(window)
        return
    if window.side < settings.min_window_px:
        done.skip(TOO_SMALL, side_px=window.side)
        return
    image = window.cut(picture, settings.size_px)[None]
    labels = _labels(landmarks[None], scores[None], window)
    writer.write(0, image, labels, 0.0, source, done)


# --- both ------------------------------------------------------------------------------------


def _labels(
    landmarks: NDArray[np.float32], scores: NDArray[np.float32], window: Window
) -> dict[str, NDArray[Any]]:
    """Labels of frames that one window was cut from."""
    places = window.fractions(landmarks)
    key_points = key_points_from_landmarks(torch.from_numpy(places)).numpy()
    labels: dict[str, NDArray[Any]] = {
        "landmarks" if places.shape[1] == 98 else "landmarks_68": places,
        "key_points": key_points,
        # Rounded: their last digits are another matter in another process.
        "scores": scores.astype(np.float32).round(2),
        "window": np.array(window),
    }
    if places.shape[1] == 98:
        labels["visible"] = scores >= _VISIBLE
    return labels


@dataclass(frozen=True)
class _ClipWriter:
    """Writes the clips of a set: strips and labels, not the index."""

    settings: PrepareSettings
    folder: Path
    set_name: str

    def write(
        self, number: int, frames: U8, labels: dict[str, NDArray[Any]], fps: float,
        source: Source, done: Prepared,
    ) -> None:  # fmt: skip
        """Write the number-th clip of a file, [T, S, S, 3], and note it as done."""
        name = f"{file_name(source.name)}-{number}"
        # 256 folders: large folders are slow to list.
        stem = f"clips/{hashlib.sha256(source.name.encode()).hexdigest()[:2]}/{name}"
        identity = identity_number(source.person)
        entry = ClipEntry(
            id=name,
            file=f"{stem}.png",
            labels=f"{stem}.npz",
            num_frames=len(frames),
            size_px=self.settings.size_px,
            fps=fps,
            identity=identity,
            kind="clip" if self.settings.is_video else "still",
            source=source.name,
            person=source.person,
            split=_split(source, self.settings, self.set_name, identity),
        )
        write_clip(self.folder, entry, frames, labels)
        done.clips.append(entry)
        files = (entry.file, str(entry.labels))
        done.hashes.append([sha256_of(self.folder / file) for file in files])


def _split(source: Source, settings: PrepareSettings, set_name: str, identity: int) -> str | None:
    """The split that was asked for, else the footage's own, else none."""
    if settings.val_people:
        return "val" if source.person in settings.val_people else "train"
    if settings.val_permille is not None:
        return "val" if is_held_out(set_name, identity, settings.val_permille) else "train"
    return source.split


def file_name(source: str) -> str:
    """A plain file name for a source: readable, and different for different sources."""
    stem = source.rpartition("/")[2].rpartition(".")[0]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)
    return f"{plain[:60]}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
