"""The main figures of a report, for the top of a page and for `eval compare`; curves as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CURVE_BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 60


@dataclass(frozen=True)
class Figure:
    """One number with what it is to be read against.

    Attributes:
        name: of the number.
        value: of the generated side; None if it could not be measured.
        reference: the floor, or the same of the real side; None if there is none.
        aim: `lower` or `higher` is better, or `reference`: the nearer to it, the better.
        unit: of both.
    """

    name: str
    value: float | None
    reference: float | None
    aim: str
    unit: str = ""

    def better(self, other: Figure) -> bool | None:
        """Whether it is better than another; None if neither is."""
        ours, theirs = self._badness(), other._badness()
        return None if ours is None or theirs is None or ours == theirs else ours < theirs

    def _badness(self) -> float | None:
        if self.value is None:
            return None
        if self.aim == "reference":
            return None if self.reference is None else abs(self.value - self.reference)
        return self.value if self.aim == "lower" else -self.value


def figures_of(report: dict[str, Any]) -> list[Figure]:
    """The main figures of a report of any of the metrics."""
    return _READERS[report["metric"].partition("-")[0]](report)


def _fvd(report: dict[str, Any]) -> list[Figure]:
    return [
        Figure("FVD", report["fvd"], report["floor"], "lower"),
        Figure("KVD", report["kvd"]["mean"], None, "lower"),
    ]


def _fid(report: dict[str, Any]) -> list[Figure]:
    suffix = report["metric"].removeprefix("fid").replace("-", " ", 1)
    return [
        Figure(f"FID{suffix}", report["fid"], report["floor"], "lower"),
        Figure(f"KID{suffix}", report["kid"]["mean"], None, "lower"),
        Figure("precision", report["coverage"]["precision"], None, "higher"),
        Figure("recall", report["coverage"]["recall"], None, "higher"),
    ]


MOTION_UNITS = {
    "speed": "eye distances / s",
    "jitter": "eye distances / s²",
    "range": "eye distances",
    "mouth": "eye distances",
    "blinks": "a minute",
    "drift": "eye distances",
}


def _motion(report: dict[str, Any]) -> list[Figure]:
    fake = report["sides"]["fake"]["motion"]
    real = report["sides"].get("real", {}).get("motion", {})
    return [
        Figure(name, fake[name], real.get(name), "reference", unit)
        for name, unit in MOTION_UNITS.items()
    ]


def _identity(report: dict[str, Any]) -> list[Figure]:
    fake = report["sides"]["fake"]
    real = report["sides"].get("real")
    names = {"mean_to_first": "cosine to first frame", "neighbours": "cosine of neighbours"}
    figures = [
        Figure(label, fake["identity"][name]["mean"], real and real["identity"][name]["mean"],
               "reference")
        for name, label in names.items()
    ]  # fmt: skip
    return [*figures, Figure("identity kept", fake["kept"], real and real["kept"], "higher")]


def _diversity(report: dict[str, Any]) -> list[Figure]:
    def value(side: str, name: str) -> float | None:
        numbers = report["sides"].get(side, {}).get("diversity", {}).get(name)
        return numbers["mean"] if numbers else None

    names = {"people_first_frames": "people apart", "motions_same_index": "motions apart"}
    return [
        Figure(label, value("fake", name), value("real", name), "reference")
        for name, label in names.items()
    ]


def _recomposition(report: dict[str, Any]) -> list[Figure]:
    recomposed, copied = report["rows"]["recomposed"], report["rows"]["copy"]
    names = {"face_psnr": ("face PSNR", "higher", "dB"), "face_ssim": ("face SSIM", "higher", "")}
    figures = [
        Figure(f"{label} (copy)", recomposed[name]["mean"], copied[name]["mean"], aim, unit)
        for name, (label, aim, unit) in names.items()
    ]
    share = report["points_to_detector"]
    return [*figures, Figure("key points / detector's", share, 1.0, "lower")]


def _reconstruction(report: dict[str, Any]) -> list[Figure]:
    similarities = report["similarities"]
    strangers = similarities["strangers"]["mean"]
    return [
        Figure(f"{name} (strangers)", similarities[name]["mean"], strangers, aim)
        for name, aim in (("reconstruction", "higher"), ("kept", "higher"), ("leaked", "lower"))
    ]


_READERS = {
    "fvd": _fvd,
    "fid": _fid,
    "identity": _identity,
    "motion": _motion,
    "diversity": _diversity,
    "recomposition": _recomposition,
    "reconstruction": _reconstruction,
}


def curve_line(values: Sequence[float], low: float, high: float, width: int = CURVE_WIDTH) -> str:
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
    return "".join(CURVE_BARS[round(share * (len(CURVE_BARS) - 1))] for share in shares)
