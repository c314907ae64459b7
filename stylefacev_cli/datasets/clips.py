"""Clip sets on disk: frames and their labels, as rendered and prepared sets have them.

A set is a folder:

    index.jsonl     a line for each clip: id, file, labels, num_frames, size_px, fps, identity,
                    kind; in prepared sets also source and person, and split where it was fixed
    manifest.yaml   how the set was made, its licence, and for prepared sets a hash of its content
    clips/….png     the frames of a clip as a film strip: stacked top to bottom, lossless; an image
                    is a strip of one
    clips/….npz     its labels (optional), arrays whose first axis is time or that hold for the clip
    sources.jsonl   of prepared sets: what became of every file of the footage

Rendered and prepared sets are the same thing to whatever reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylefacev_cli.common.files import atomic_path
from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.common.settings import read_yaml
from stylefacev_cli.common.untrusted.npz_file import read_npz
from stylefacev_cli.errors import DataError, IntegrityError, UsageError
from stylefacev_cli.media.images import open_image

U8 = NDArray[np.uint8]

INDEX_NAME = "index.jsonl"
MANIFEST_NAME = "manifest.yaml"
SOURCES_NAME = "sources.jsonl"
KINDS = ("clip", "still")
SPLITS = ("train", "val")
MAX_FPS = 10_000
SAME_RATE = 0.002  # relative difference of rates up to which they count as one
PER_FRAME = (
    *("landmarks", "landmarks_68", "key_points", "scores", "visible", "expressions", "head_pose"),
    *("gaze", "camera", "light", "factors", "hair"),
)
MAX_STRIP_PIXELS = 80_000_000  # of a clip: it is held in memory as a whole
HAIR_BLOCK_PX = 4  # side of the blocks of pixels whose share of hair the label `hair` holds


@dataclass(frozen=True)
class ClipEntry:
    """One line of the index."""

    id: str
    file: str  # film strip, relative to the set's folder
    labels: str | None  # labels, relative to the set's folder
    num_frames: int
    size_px: int
    fps: float
    identity: int  # number of the person in the set
    kind: str  # "clip": frames follow each other; "still": same person, unrelated frames
    source: str | None = None  # the file that it was made from, relative to the footage
    person: str | None = None  # the person's name in the footage
    split: str | None = None  # "train" or "val"; None: `splits.is_held_out` says when it is asked

    def to_line(self) -> str:
        """The entry as a line of `index.jsonl`, with its line end."""
        values = {k: v for k, v in asdict(self).items() if v is not None or k in _REQUIRED}
        return json.dumps(values, ensure_ascii=False) + "\n"


_REQUIRED = {field.name for field in fields(ClipEntry) if field.default is MISSING}


@dataclass(frozen=True)
class Clip:
    """A clip of a set; nothing is read before it is asked for."""

    folder: Path
    entry: ClipEntry

    def frames(self) -> U8:
        """All frames, [T, S, S, 3] uint8.

        Raises:
            DataError: the strip is missing, damaged or of another size than the index says.
        """
        path = self.folder / self.entry.file
        size, num = self.entry.size_px, self.entry.num_frames
        with open_image(path, ("PNG",), MAX_STRIP_PIXELS) as strip:
            # Checked before decoding: a damaged header must not fill the memory.
            if strip.size != (size, size * num):
                raise DataError(
                    f"{path}: {strip.width}×{strip.height} pixels, but the index says "
                    f"{num} frames of {size}×{size}; render or prepare the set again"
                )
            pixels = np.asarray(strip.convert("RGB"))
        return pixels.reshape(num, size, size, 3)

    def labels(self) -> dict[str, NDArray[Any]]:
        """All label arrays by name; empty if the clip has none.

        Raises:
            DataError: the file is missing or damaged.
        """
        if self.entry.labels is None:
            return {}
        path = self.folder / self.entry.labels
        try:
            return read_npz(path)
        except IntegrityError as error:
            raise DataError(f"{path}: cannot be read as labels ({error})") from error


class ClipSet:
    """A set of clips: random access, memory only for what is asked for."""

    def __init__(self, folder: str | Path) -> None:
        """Read the index.

        Raises:
            DataError: the folder is no set, or its index is damaged.
        """
        self.folder = Path(folder)
        index = self.folder / INDEX_NAME
        try:
            text = index.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if not index.exists() and (self.folder / SOURCES_NAME).exists():
                raise DataError(
                    f"{self.folder} is not finished: run its `stylefacev data prepare` again, "
                    "it goes on where it stopped"
                ) from error
            raise DataError(
                f"{self.folder} is no set of clips (no readable {INDEX_NAME}); "
                "make one with: stylefacev data render, or data prepare"
            ) from error
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            raise DataError(f"{index} lists no clips; finish making the set first")
        self.entries = [parse_entry(line, f"{index}:{i}") for i, line in enumerate(lines, 1)]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Clip]:
        return (self.clip(i) for i in range(len(self)))

    def clip(self, i: int) -> Clip:
        """The i-th clip."""
        return Clip(self.folder, self.entries[i])

    def manifest(self) -> dict[str, Any]:
        """How the set was made; empty if it does not say.

        Raises:
            DataError: the manifest is damaged.
        """
        path = self.folder / MANIFEST_NAME
        if not path.exists():
            return {}
        return read_manifest(path)

    def check(self) -> None:
        """Read everything once.

        Raises:
            DataError: something is missing or damaged; the message names the file.
        """
        self.check_doubles()
        for clip in self:
            frames, labels = clip.frames(), clip.labels()
            for name in PER_FRAME:
                if name in labels and len(labels[name]) != len(frames):
                    raise DataError(
                        f"{clip.entry.labels}: {name} has {len(labels[name])} rows for "
                        f"{len(frames)} frames; make the set again"
                    )

    def check_doubles(self) -> None:
        """Make sure that no clip and no file is listed twice, as two writers at once leave it.

        Raises:
            DataError: one is.
        """
        seen = set[str]()
        for entry in self.entries:
            for name in {f"clip {entry.id}", entry.file, entry.labels or entry.file}:
                if name in seen:
                    raise DataError(
                        f"{self.folder / INDEX_NAME} lists {name} twice; make the set again"
                    )
                seen.add(name)

    def content_hash(self) -> str:
        """SHA-256 of the index and of all strips and labels, read anew.

        Raises:
            DataError: a file cannot be read.
        """

        def hash_of(name: str) -> str:
            try:
                return sha256_of(self.folder / name)
            except OSError as error:
                raise DataError(f"cannot read {self.folder / name}: {error.strerror}") from error

        files = ((entry.file, entry.labels) for entry in self.entries)
        hashes = ([hash_of(name) for name in names if name is not None] for names in files)
        return content_hash(self.entries, hashes)


def same_rate(one: float, other: float) -> bool:
    """Whether two numbers of frames a second are one: 23.976 and 24 are, 24 and 25 are not."""
    return abs(one - other) <= SAME_RATE * max(one, other)


def unlike_rates(all_rates: Iterable[float]) -> list[float]:
    """The unlike numbers of frames a second among some, the lowest first; 0: not known."""
    rates: list[float] = []
    for rate in sorted(set(all_rates)):
        if not any(same_rate(rate, known) for known in rates):
            rates.append(rate)
    return rates


def rates_of(entries: Iterable[ClipEntry], min_frames: int = 1) -> list[float]:
    """The unlike rates of clips that move and are so long, see `unlike_rates`."""
    return unlike_rates(
        entry.fps for entry in entries if entry.kind == "clip" and entry.num_frames >= min_frames
    )


def need_one_rate(rates: list[float], what: str) -> None:
    """Make sure that clips which motion is learnt from have one number of frames a second.

    Args:
        rates: see `unlike_rates`.
        what: needs it.

    Raises:
        DataError: they have several.
    """
    if len(rates) > 1:
        shown = " and ".join(f"{rate:g}" if rate else "an unknown number of" for rate in rates)
        raise DataError(
            f"{what} needs clips of one frame rate, but the sets have clips of {shown} frames a "
            "second: leave some out, or prepare the footage again at one rate"
        )


def content_hash(entries: Iterable[ClipEntry], hashes: Iterable[list[str]]) -> str:
    """The hash of a set: of each line of its index, and of the hashes of the files it names."""
    digest = hashlib.sha256()
    for entry, of_files in zip(entries, hashes, strict=True):
        digest.update(entry.to_line().encode())
        digest.update("".join(f"{text}\n" for text in of_files).encode())
    return digest.hexdigest()


def parse_entry(line: str, where: str) -> ClipEntry:
    """Read a line of the index; `where` names it in messages.

    Raises:
        DataError: the line is no entry.
    """
    names = {field.name for field in fields(ClipEntry)}
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg})") from error
    if not isinstance(values, Mapping) or not _REQUIRED <= set(values) <= names:
        raise DataError(f"{where}: an entry has the fields {', '.join(sorted(_REQUIRED))}")
    entry = ClipEntry(**values)
    numbers = (entry.num_frames, entry.size_px, entry.identity)
    if not all(type(number) is int for number in numbers) or entry.kind not in KINDS:
        raise DataError(f"{where}: num_frames, size_px, identity or kind makes no sense")
    if entry.split not in (None, *SPLITS):
        raise DataError(f"{where}: a split is {' or '.join(SPLITS)}")
    if not isinstance(entry.fps, int | float) or not 0 <= entry.fps <= MAX_FPS:
        raise DataError(f"{where}: fps is a number from 0 (not known) to {MAX_FPS}")
    if entry.num_frames < 1 or entry.size_px < 1:
        raise DataError(f"{where}: num_frames and size_px must be at least 1")
    # A set from elsewhere must not name files outside of its folder.
    for name in (entry.file,) if entry.labels is None else (entry.file, entry.labels):
        if not isinstance(name, str) or not _is_inside(name):
            raise DataError(f"{where}: {name!r} is not a path inside the set")
    return entry


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        DataError: it is damaged.
    """
    try:
        return read_yaml(path)
    except UsageError as error:
        raise DataError(str(error)) from error


def write_clip(
    folder: Path, entry: ClipEntry, frames: U8, labels: Mapping[str, NDArray[Any]]
) -> None:
    """Write a clip's strip and labels under their final names only when they are whole.

    Args:
        folder: the set's folder.
        entry: the clip's line of the index; the caller appends it.
        frames: [T, S, S, 3] uint8.
        labels: arrays by name.
    """
    num, size = frames.shape[:2]
    assert (num, size) == (entry.num_frames, entry.size_px)
    strip = folder / entry.file
    strip.parent.mkdir(parents=True, exist_ok=True)
    if entry.labels is not None:
        path = folder / entry.labels
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **labels)
    picture = Image.fromarray(np.ascontiguousarray(frames).reshape(num * size, size, 3))
    with atomic_path(strip) as part:
        picture.save(part, format="PNG", compress_level=4)


def _is_inside(name: str) -> bool:
    path = Path(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts
