"""The main figures of a report: what a page shows on top and what `compare` puts side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number with what it is to be read against.

    Attributes:
        name: what it is.
        value: of the made side; None if it could not be measured.
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
    suffix = report["metric"].removeprefix("fid").removeprefix("kid").replace("-", " ", 1)
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
    made = report["sides"]["fake"]["motion"]
    real = report["sides"].get("real", {}).get("motion", {})
    return [
        Figure(name, made[name], real.get(name), "reference", unit)
        for name, unit in MOTION_UNITS.items()
    ]


def _identity(report: dict[str, Any]) -> list[Figure]:
    made = report["sides"]["fake"]
    real = report["sides"].get("real")
    names = {"mean_to_first": "cosine to first frame", "neighbours": "cosine of neighbours"}
    figures = [
        Figure(label, made["identity"][name]["mean"], real and real["identity"][name]["mean"],
               "reference")
        for name, label in names.items()
    ]  # fmt: skip
    return [*figures, Figure("identity kept", made["kept"], real and real["kept"], "higher")]


def _diversity(report: dict[str, Any]) -> list[Figure]:
    def value(side: str, name: str) -> float | None:
        found = report["sides"].get(side, {}).get("diversity", {}).get(name)
        return found["mean"] if found else None

    names = {"people_first_frames": "people apart", "motions_same_index": "motions apart"}
    return [
        Figure(label, value("fake", name), value("real", name), "reference")
        for name, label in names.items()
    ]


def _recomposition(report: dict[str, Any]) -> list[Figure]:
    made, copied = report["rows"]["recomposed"], report["rows"]["copy"]
    names = {"face_psnr": ("face PSNR", "higher", "dB"), "face_ssim": ("face SSIM", "higher", "")}
    figures = [
        Figure(f"{label} (copy)", made[name]["mean"], copied[name]["mean"], aim, unit)
        for name, (label, aim, unit) in names.items()
    ]
    share = report["points_to_detector"]
    return [*figures, Figure("key points / detector's", share, 1.0, "lower")]


def _reconstruction(report: dict[str, Any]) -> list[Figure]:
    found = report["similarities"]
    strangers = found["strangers"]["mean"]
    return [
        Figure(f"{name} (strangers)", found[name]["mean"], strangers, aim)
        for name, aim in (("reconstruction", "higher"), ("kept", "higher"), ("leaked", "lower"))
    ]


_READERS = {
    "fvd": _fvd,
    "fid": _fid,
    "kid": _fid,
    "identity": _identity,
    "motion": _motion,
    "diversity": _diversity,
    "recomposition": _recomposition,
    "reconstruction": _reconstruction,
}
