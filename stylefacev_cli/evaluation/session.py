"""What the measurements of one evaluation share, and the features of a set of videos.

    with open_session(request.compute, listener) as session:
        report = measure_motion(session, request)

Features are computed by all processes that torchrun has started, or read from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.options import option
from stylefacev_cli.common.processes import Processes, joined_processes
from stylefacev_cli.errors import StyleFaceVError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylefacev_cli.datasets.videos import Item, ItemRule, Taken, VideoSet
    from stylefacev_cli.evaluation.feature_store import Gathered

    Frames = NDArray[np.uint8]
    Extract = Callable[[Iterator[Frames]], Iterator[NDArray[np.floating]]]

Report = dict[str, Any]
"""Plain JSON values; `metric` and `protocol` say what the numbers are."""


@dataclass(frozen=True)
class Compute:
    """Options of every measurement."""

    threads: int | None = option("CPU threads.", default=None, minimum=1, shown_default="all")


@dataclass(frozen=True)
class Reading(Compute):
    """Options of measurements of files."""

    skip_damaged: bool = option("Go on after files that cannot be read.", default=False)


@dataclass(frozen=True)
class StoredReading(Reading):
    """Options of measurements whose features are kept in the store."""

    no_cache: bool = option("Compute all features anew, and keep none.", default=False)


@dataclass(frozen=True)
class EvalSession:
    """What all measurements of a call share.

    Attributes:
        listener: is told how far it is.
        processes: which share the work.
        skip_damaged: go on after files that cannot be read.
        use_store: keep features of files, and take those that were kept.
        command: how the caller would repeat the call, for reports.
    """

    listener: Listener
    processes: Processes
    skip_damaged: bool = False
    use_store: bool = True
    command: str = ""

    def gather(
        self,
        videos: VideoSet,
        rule: ItemRule,
        count: int,
        extract: Extract,
        network: Mapping[str, Any],
        *,
        label: str,
        unit: str,
    ) -> Gathered:
        """Features of at most `count` items of a set.

        Args:
            videos: the set.
            rule: which items are taken of it.
            count: how many.
            extract: items, uint8 [T, H, W, 3] or [H, W, 3] → one array for each, all of one shape.
            network: JSON values that say what `extract` does: name and hash of a network.
            label: of the progress bar.
            unit: what is counted.

        Raises:
            DataError: a video cannot be read.
        """
        from stylefacev_cli.evaluation.feature_store import keep_features

        key = self._store_key(videos, rule, count, network)
        gathered = self.processes.of_first(_stored(key, videos) if key else None)
        if gathered is None:
            with self.listener.progress(min(count, len(videos) * rule.most), unit) as advance:
                gathered = self._computed(videos, rule, count, extract, lambda: advance(label))
            if key:
                keep_features(key, gathered.renamed(_names_in_store(videos)))
        return gathered

    def _store_key(
        self, videos: VideoSet, rule: ItemRule, count: int, network: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """All that the features depend on; None: they are not kept, or by another process."""
        if not (self.use_store and self.processes.is_first and videos.files):
            return None
        with self.listener.doing(f"hashing the files of {videos.name}"):
            digest = videos.digest
        return {
            "videos": digest, "rule": asdict(rule), "count": count,
            "skip_damaged": self.skip_damaged, "network": dict(network),
            **({} if videos.resampled_fps is None else {"fps": videos.resampled_fps}),
        }  # fmt: skip

    def _computed(
        self,
        videos: VideoSet,
        rule: ItemRule,
        count: int,
        extract: Extract,
        advance: Callable[[], None],
    ) -> Gathered:
        """In rounds: later videos make up for those that are too short or damaged."""
        import numpy as np

        from stylefacev_cli.evaluation.feature_store import Gathered

        rows: list[NDArray[np.floating]] = []
        gathered = Gathered(np.zeros((0, 1), np.float32))
        begin = 0
        while len(rows) < count and begin < len(videos):
            end = begin + -(-(count - len(rows)) // rule.most)
            parts = self._round(videos, rule, range(begin, end), extract, advance)
            features = [one for part in parts for one in part.rows]
            for _, name, row in sorted(features, key=lambda one: one[0]):
                if len(rows) < count:
                    rows.append(row)
                    gathered.videos.append(name)
            gathered.too_short += sum(part.taken.too_short for part in parts)
            gathered.damaged += [name for part in parts for name in part.taken.damaged]
            begin = end
        gathered.damaged.sort()
        if rows:
            gathered.rows = np.stack(rows).astype(np.float32)
        return gathered

    def _round(
        self,
        videos: VideoSet,
        rule: ItemRule,
        places: range,
        extract: Extract,
        advance: Callable[[], None],
    ) -> list[_Part]:
        """The features of each process, of its share of some places of the order."""
        from stylefacev_cli.datasets.videos import Taken, items_of

        share = places[self.processes.rank :: self.processes.count]
        part, seen = _Part([], Taken()), list[tuple[int, str]]()
        items = items_of(videos, rule, share, skip_damaged=self.skip_damaged, taken=part.taken)
        try:
            for number, row in enumerate(extract(_noting(items, seen))):
                part.rows.append((*seen[number], row))
                advance()
        except StyleFaceVError as error:
            if self.processes.count == 1:
                raise
            part.failure = error  # of all processes: none may wait for another one
        parts = self.processes.exchange(part)
        for one in parts:
            if one.failure is not None:
                raise one.failure
        return parts


@dataclass
class _Part:
    """The features of one process in one round."""

    rows: list[tuple[int, str, NDArray[np.floating]]]  # place and name of the video, features
    taken: Taken
    failure: StyleFaceVError | None = None


def _names_in_store(videos: VideoSet) -> dict[str, str]:
    """Names of videos → names within the set, which stay when the folder is moved."""
    names = {}
    for video in videos.videos:
        path = Path(video.name)
        inside = path.relative_to(videos.name) if path.is_relative_to(videos.name) else path
        names[video.name] = str(inside)
    return names


def _stored(key: Mapping[str, Any], videos: VideoSet) -> Gathered | None:
    """Features of the store, with the names that the videos have here; None: there are none."""
    from stylefacev_cli.evaluation.feature_store import read_features

    stored = read_features(key)
    names = {inside: name for name, inside in _names_in_store(videos).items()}
    names |= {video.name: video.name for video in videos.videos}  # version 0.1 kept these
    if stored is None or not names.keys() >= set(stored.videos):
        return None
    told_of = len(set(stored.videos)) + stored.too_short + len(stored.damaged)
    if len(stored.rows) < key["count"] and told_of != len(videos):
        return None  # fewer features than asked for, though not all videos were looked at
    return stored.renamed(names)


def _noting(items: Iterator[Item], seen: list[tuple[int, str]]) -> Iterator[Frames]:
    """The frames of items; places and names of their videos are appended to `seen`."""
    for item in items:
        seen.append((item.place, item.video.name))
        yield item.frames


@contextmanager
def open_session(compute: Compute, listener: Listener, command: str = "") -> Iterator[EvalSession]:
    """A session on this machine: memory, threads, and the processes that torchrun has started.

    Args:
        compute: options of the request.
        listener: is told how far it is, in the first process; the others speak to the log.
        command: how the caller would repeat the call, for reports.
    """
    from stylefacev_cli.common.memory import keep_freed_memory
    from stylefacev_cli.common.threads import set_num_threads

    keep_freed_memory()
    if compute.threads:
        set_num_threads(compute.threads)
    with joined_processes() as processes:
        yield EvalSession(
            listener if processes.is_first else LogListener(),
            processes,
            skip_damaged=isinstance(compute, Reading) and compute.skip_damaged,
            use_store=not (isinstance(compute, StoredReading) and compute.no_cache),
            command=command,
        )


def side_facts(videos: VideoSet, gathered: Gathered) -> Report:
    """What a report says of the videos of one side."""
    return {
        "from": videos.name,
        "codec": videos.codec,
        "used": len(gathered.rows),
        "too_short": gathered.too_short,
        "damaged": gathered.damaged,
        "cached": gathered.cached,
    }


def side_line(name: str, facts: Report, unit: str) -> str:
    """Those facts as a line of a table."""
    notes = [f"{facts['too_short']} too short"] if facts["too_short"] else []
    notes += [f"{len(facts['damaged'])} damaged"] if facts["damaged"] else []
    notes += ["features from the cache"] if facts["cached"] else []
    return f"{name:9} {facts['used']} {unit} of {facts['from']} ({facts['codec']})" + "".join(
        f", {note}" for note in notes
    )
