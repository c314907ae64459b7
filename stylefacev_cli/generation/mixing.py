"""Identities that are mixed: one becomes the next over a video, or lends some layers of its ws."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Mix, Model
    from stylefacev_cli.weights.manifest import Manifest

MAX_INTERPOLATED = 100  # identities one after the other
_LAYERS = re.compile(r"([0-9]{1,3})(?:(-)([0-9]{1,3})?)?")


@dataclass(frozen=True)
class LayerMix:
    """Layers of ws that show another seed.

    Attributes:
        seed: whose they are.
        first: number of the first layer.
        last: number of the last one; None: the generator's last.
    """

    seed: int
    first: int
    last: int | None

    def as_record(self) -> dict[str, Any]:
        """The mix as records hold it."""
        last = "last" if self.last is None else self.last
        return {"seed": self.seed, "layers": [self.first, last]}


def parse_interpolation(text: str) -> tuple[int, ...]:
    """The seeds of `3:7:12`.

    Raises:
        UsageError: anything else, or one seed only.
    """
    how = (
        f"give two or more seeds (at most {MAX_INTERPOLATED}), each from 0 to {MAX_SEED}, as in 3:7"
    )
    parts = [part.strip() for part in text.split(":")]
    seeds = [int(part) for part in parts if re.fullmatch(r"[0-9]{1,10}", part)]
    count_fits = len(seeds) == len(parts) and 2 <= len(seeds) <= MAX_INTERPOLATED
    if not count_fits or max(seeds) > MAX_SEED:
        raise UsageError(f"--interpolate {text[:40]!r}: {how}")
    return tuple(seeds)


def parse_mixes(texts: Sequence[str]) -> tuple[LayerMix, ...]:
    """The mixes of `5:4-`, `5:0-3` and `5:2`.

    Raises:
        UsageError: anything else, or a range that runs backwards.
    """
    how = "give a seed and its layers: 5:4- (from 4 on), 5:0-3 or 5:2"
    mixes = []
    for text in texts:
        seed, _, layers = (part.strip() for part in text.partition(":"))
        match = _LAYERS.fullmatch(layers)
        if match is None or not re.fullmatch(r"[0-9]{1,10}", seed) or int(seed) > MAX_SEED:
            raise UsageError(f"--mix {text[:40]!r}: {how}")
        first, last = int(match[1]), int(match[3] or match[1])
        if last < first:
            raise UsageError(f"--mix {text[:40]!r}: {first}-{last} runs backwards")
        mixes.append(LayerMix(int(seed), first, None if match[2] and not match[3] else last))
    return tuple(mixes)


def check_mixes(mixes: Sequence[LayerMix], manifest: Manifest) -> None:
    """Check the layers against the model's.

    Raises:
        UsageError: it has no such layer, or two mixes replace the same one.
    """
    last_layer = manifest.architecture["generator"]["num_layers"] + 1
    taken: set[int] = set()
    for mix in mixes:
        first, last = mix.first, last_layer if mix.last is None else mix.last
        if max(first, last) > last_layer:
            raise UsageError(
                f"--mix: {manifest.name} has the layers 0 to {last_layer}, not {max(first, last)}"
            )
        twice = taken & set(range(first, last + 1))
        if twice:
            raise UsageError(f"--mix: layer {min(twice)} is taken twice")
        taken |= set(range(first, last + 1))


def load_mixes(mixes: Sequence[LayerMix], model: Model, truncation: float) -> list[Mix]:
    """The mixes with the appearances [1, C, 8, 8] of their seeds."""
    from stylefacev_cli.pipeline import Mix

    num_ws = model.networks.generator.num_ws
    loaded = []
    for mix in mixes:
        appearance = model.encode(model.first_frame(mix.seed, truncation))
        last = num_ws - 1 if mix.last is None else mix.last
        loaded.append(Mix(model, appearance, tuple(range(mix.first, last + 1))))
    return loaded


def positions(num_frames: int, closed: bool) -> Iterator[float]:
    """The position of each frame between 0 and 1; where the video is `closed`, 1 is frame 0."""
    whole = num_frames if closed else max(num_frames - 1, 1)
    return (frame / whole for frame in range(num_frames))


def interpolated(keys: Sequence[torch.Tensor], position: float) -> torch.Tensor:
    """The value at a position from 0 to 1 on equally long straight pieces between keys."""
    if len(keys) == 1:
        return keys[0]
    import torch

    place = position * (len(keys) - 1)
    before = min(int(place), len(keys) - 2)
    return torch.lerp(keys[before], keys[before + 1], place - before)
