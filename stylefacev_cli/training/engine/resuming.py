"""What a stage was trained with – data, batch, seed – and what of it is another thing now.

A checkpoint says it, so that a run that goes on with something else does so knowingly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KEY = "trained_with"  # in a checkpoint; older ones lack it


@dataclass(frozen=True)
class TrainedWith:
    """The settings under which a stage's steps follow from each other.

    Attributes:
        sets: names of the folders of data, in order.
        num_frames: in them.
        data: the digest of their indices and manifests, wherever they lie.
        held_out_permille: people of a thousand that are never trained on.
        batch_size: of a step, in all processes together.
        seed: of the weights and of all that is drawn.
    """

    sets: tuple[str, ...]
    num_frames: int
    data: str
    held_out_permille: int
    batch_size: int
    seed: int

    def to_plain(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return asdict(self) | {"sets": list(self.sets)}


def changes(state: Mapping[str, Any], now: TrainedWith) -> list[str] | None:
    """What is another thing than when a checkpoint was written, each as `setting old → new`.

    Args:
        state: of the checkpoint.
        now: what the run would go on with.

    Returns:
        The changes; None: the checkpoint does not tell.
    """
    before = state.get(KEY)
    if not isinstance(before, Mapping):
        return None
    found = []
    if before.get("data") != now.data:
        old, new = _data(before), _data(now.to_plain())
        contents = "; their index or manifest is another" if old == new else ""
        found.append(f"data {old} → {new}{contents}")
    for name in ("held_out_permille", "batch_size", "seed"):
        if before.get(name) != getattr(now, name):
            found.append(f"{name} {before.get(name)} → {getattr(now, name)}")
    return found


def _data(values: Mapping[str, Any]) -> str:
    names = values.get("sets")
    listed = ", ".join(map(str, names)) if isinstance(names, list | tuple) else "unknown"
    return f"{listed} ({values.get('num_frames')} frames)"
