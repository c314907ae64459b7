"""Seeds as people write them: `0-9,12`."""

from __future__ import annotations

import re

from stylefacev_cli.errors import UsageError

MAX_SEED = 2**32 - 1
MAX_NUM_SEEDS = 1_000_000

_ACCEPTED = f"give numbers and ranges such as 0-9,12, each from 0 to {MAX_SEED}"


def parse_seeds(text: str, setting: str = "--seeds") -> list[int]:
    """Read a list of seeds and ranges.

    Args:
        text: seeds and ranges `first-last`, separated by commas; spaces around them are allowed.
        setting: where they were given, for messages.

    Returns:
        The seeds in the order given; a repeated one is there once.

    Raises:
        UsageError: anything else, a range that runs backwards, or more than a million seeds.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part.strip())
        if match is None:
            what = f"{part.strip()[:40]!r} is no seed" if part.strip() else "a seed is missing"
            raise UsageError(f"{setting}: {what}; {_ACCEPTED}")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise UsageError(f"{setting}: {first}-{last} runs backwards; write {last}-{first}")
        if last > MAX_SEED:
            raise UsageError(f"{setting}: {last} is too large; {_ACCEPTED}")
        if len(seeds) + last - first + 1 > MAX_NUM_SEEDS:
            raise UsageError(f"{setting}: more than {MAX_NUM_SEEDS} seeds at once; give fewer")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)
