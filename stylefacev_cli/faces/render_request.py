"""Requests for rendered sets: the options of `data render` and `sf.data.render`.

Nothing here imports numpy: the command line makes its options of these at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.common.options import group, option
from stylefacev_cli.errors import UsageError

MAX_SIZE_PX = 1024
MAX_FRAMES = 10_000
KINDS = ("clips", "stills")


@dataclass(frozen=True)
class RenderSettings:
    """What a set shows; what its manifest records, and a later run must repeat."""

    num_identities: int = option(
        "Number of people, each with one clip.", default=100, flags=("--identities",)
    )
    num_frames: int = option("Frames a clip, or stills a person.", default=32, flags=("--frames",))
    size_px: int = option("Side of the frames in pixels.", default=128, flags=("--size",))
    seed: int = option("The same seed gives the same set.", default=0)
    kind: str = option(
        "clips (talking heads) or stills: a new scene and pose in each frame.", default="clips"
    )
    fps: float = option("Frames a second.", default=25.0)
    framing: str = option(
        "canonical (eyes in place), unaligned (as trackers cut it out) or wide.",
        default="canonical",
    )
    look: str = option(
        "photographic (MakeHuman's skins and hair, a download) or procedural.",
        default="photographic",
    )
    split: str | None = option(
        "Fix the split for all people: val (never trained on) or train. By default training "
        "decides, by persons.",
        default=None,
    )

    def __post_init__(self) -> None:
        """Check the values once.

        Raises:
            UsageError: a value is out of range, or no such kind, framing, look or split.
        """
        from stylefacev_cli.datasets.clips import SPLITS
        from stylefacev_cli.faces.factors import FRAMINGS
        from stylefacev_cli.faces.looks import check_look

        limits = {
            "identities": (self.num_identities, 1, 10_000_000),
            "frames": (self.num_frames, 1, MAX_FRAMES),
            "size": (self.size_px, 16, MAX_SIZE_PX),
            "seed": (self.seed, 0, 2**63 - 1),
            "fps": (self.fps, 1, 240),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UsageError(f"--{name} {value}: give a number from {low} to {high}")
        if self.kind not in KINDS:
            raise UsageError(f"--kind {self.kind}: choose clips or stills")
        if self.framing not in FRAMINGS:
            raise UsageError(f"--framing {self.framing}: choose one of {', '.join(FRAMINGS)}")
        check_look(self.look)
        if self.split not in (None, *SPLITS):
            raise UsageError(f"--split {self.split}: choose {' or '.join(SPLITS)}")


@dataclass(frozen=True)
class RenderRequest:
    """A set to be rendered."""

    out: Path = option("Folder for the set; continued if it exists.")
    settings: RenderSettings = group(RenderSettings)
    processes: int = option("Processes that render at once.", default=1, minimum=1, maximum=1024)
