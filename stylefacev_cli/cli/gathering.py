"""From a set of videos to the features of its items: by several processes, or from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import StyleFaceVError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylefacev_cli.cli.terminal import Terminal
    from stylefacev_cli.common.processes import Processes
    from stylefacev_cli.datasets.videos import Item, ItemRule, VideoSet
    from stylefacev_cli.evaluation.feature_store import Gathered

    Frames = NDArray[np.uint8]
    Extract = Callable[[Iterator[Frames]], Iterator[NDArray[np.floating]]]


@dataclass(frozen=True)
class Laboratory:
    """What all measurements of a command share."""

    terminal: Terminal
    processes: Processes
    skip_damaged: bool = False
    use_store: bool = True  # of features that were computed before

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
        """Features of at most `count` items.

        Args:
            videos: the set.
            rule: which items are taken of it.
            count: how many.
            extract: items → one array for each, all of one shape.
            network: JSON values that say what `extract` does; name and hash of a network.
            label: of the progress bar.
            unit: what is counted.

        Raises:
            DataError: a video cannot be read.
        """
        from dataclasses import asdict

        from stylefacev_cli.evaluation.feature_store import keep_features, read_features

        first = self.processes.is_first
        digest = videos.digest if self.use_store and first else None
        key = {
            "videos": digest, "rule": asdict(rule), "count": count,
            "skip_damaged": self.skip_damaged, "network": dict(network),
        }  # fmt: skip
        found = self.processes.of_first(read_features(key) if digest else None)
        if found is None:
            found = self._compute(videos, rule, count, extract, label, unit)
            if digest:
                keep_features(key, found)
        return found

    def _compute(
        self,
        videos: VideoSet,
        rule: ItemRule,
        count: int,
        extract: Extract,
        label: str,
        unit: str,
    ) -> Gathered:
        """In rounds: videos that turn out to be too short or damaged are made up for by others."""
        import numpy as np

        from stylefacev_cli.datasets.videos import Taken, items_of
        from stylefacev_cli.evaluation.feature_store import Gathered

        rows: list[NDArray[np.floating]] = []
        gathered = Gathered(np.zeros((0, 1), np.float32))
        begin, total = 0, min(count, len(videos) * rule.most)
        with self.terminal.progress(total, unit) as advance:
            while len(rows) < count and begin < len(videos):
                end = begin + -(-(count - len(rows)) // rule.most)
                taken, seen = Taken(), list[tuple[int, str]]()  # places and videos of my items
                places = range(begin + self.processes.rank, end, self.processes.count)

                items = items_of(videos, rule, places, skip_damaged=self.skip_damaged, taken=taken)
                mine, failure = [], None
                try:
                    for row in extract(_noting(items, seen)):
                        mine.append(row)
                        advance(label)
                except StyleFaceVError as error:
                    if self.processes.count == 1:
                        raise
                    failure = error  # for all: none may wait for another one
                parts = self.processes.exchange((seen, mine, taken, failure))
                for *_, failure in parts:
                    if failure is not None:
                        raise failure
                found = [pair for some, its, *_ in parts for pair in zip(some, its, strict=True)]
                for (_, video), row in sorted(found, key=lambda pair: pair[0][0]):
                    if len(rows) < count:
                        rows.append(row)
                        gathered.videos.append(video)
                gathered.too_short += sum(part.too_short for _, _, part, _ in parts)
                gathered.damaged += [name for _, _, part, _ in parts for name in part.damaged]
                begin = end
        gathered.damaged.sort()
        if rows:
            gathered.rows = np.stack(rows).astype(np.float32)
        return gathered


def _noting(items: Iterator[Item], seen: list[tuple[int, str]]) -> Iterator[Frames]:
    """The frames of items, while their places and videos are noted."""
    for item in items:
        seen.append((item.place, item.video.name))
        yield item.frames
