"""Curves in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def curve_line(values: Sequence[float], low: float, high: float, width: int = WIDTH) -> str:
    """A curve as a row of bars; what lies below `low` or above `high` is drawn at that edge.

    Args:
        values: over time, at least one.
        low: the value of the lowest bar.
        high: that of the highest.
        width: of the row, at most; of longer curves each bar is the lowest value of its stretch, so
            that a short drop is not lost.
    """
    assert values and width >= 1
    num_bars = min(width, len(values))
    edges = [i * len(values) // num_bars for i in range(num_bars + 1)]
    lowest = [min(values[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    reach = (high - low) or 1.0
    shares = [min(max((value - low) / reach, 0.0), 1.0) for value in lowest]
    return "".join(BARS[round(share * (len(BARS) - 1))] for share in shares)
