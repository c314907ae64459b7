"""Whether a person stays the same: cosines of identity features over time.

The numbers carry the name of the network that gave the features: cosines of different networks are
not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError

Embeddings = NDArray[np.floating]  # [T, D]
MIN_FRAMES = 2


@dataclass(frozen=True)
class Identity:
    """How a face stays who it is, or the means over several.

    Attributes:
        to_first: cosine of each frame to the first one, from the second frame on.
        mean_to_first: the mean of those.
        last_to_first: the mean of those over the last quarter.
        neighbours: mean cosine of each frame to the one before.
        acd: average content distance, the mean Euclidean distance of all pairs of frames
            (Tulyakov et al. 2018).
    """

    to_first: tuple[float, ...]
    mean_to_first: float
    last_to_first: float
    neighbours: float
    acd: float


def measure_identity(embeddings: Embeddings) -> Identity:
    """Measure one video.

    Args:
        embeddings: identity features of each frame [T, D], of any length but 0.

    Raises:
        DataError: there are too few frames, or features without direction.
    """
    if len(embeddings) < MIN_FRAMES:
        raise DataError(f"{len(embeddings)} frames; identity needs at least {MIN_FRAMES}")
    features = embeddings.astype(np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise DataError("the identity network gave features without direction")
    directions = features / lengths
    to_first = directions[1:] @ directions[0]
    last = max(1, len(to_first) // 4)
    pairs = np.triu_indices(len(features), k=1)
    distances = np.linalg.norm(features[pairs[0]] - features[pairs[1]], axis=1)
    return Identity(
        to_first=tuple(to_first.tolist()),
        mean_to_first=float(to_first.mean()),
        last_to_first=float(to_first[-last:].mean()),
        neighbours=float((directions[1:] * directions[:-1]).sum(axis=1).mean()),
        acd=float(distances.mean()),
    )


def mean_identity(found: list[Identity]) -> Identity:
    """The mean over videos of the same length."""
    assert found and len({len(one.to_first) for one in found}) == 1
    return Identity(
        to_first=tuple(np.mean([one.to_first for one in found], axis=0).tolist()),
        mean_to_first=float(np.mean([one.mean_to_first for one in found])),
        last_to_first=float(np.mean([one.last_to_first for one in found])),
        neighbours=float(np.mean([one.neighbours for one in found])),
        acd=float(np.mean([one.acd for one in found])),
    )
