"""What a pose tells of others: where the key points of somebody else are, in that pose.

A pose that is learnt from its own person's key points alone mixes how a head is turned with how the
face is formed: both move the points. Who then puts somebody else into it, the recomposer, cannot
part them. Rendered faces have factors, and the w of one's factors with the pose of another's says
where everything is (`examples.places_guess`); a small network is told the first's factors and the
second's pose, and has to say the same. It can only from poses that tell the one from the other.
Neither the paper nor the original code has this.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.landmarks import NUM_KEY_POINTS
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.recomposition_pairs import PoseFactors
from stylefacev_cli.training.extensions.surrogates import (
    OPENINGS,
    PLACES_UNIT,
    mean_off,
    perceptron,
    places_guess,
)

PARTNERS = 4  # others who are put into each pose
_HIDDEN = 512
_GROUPS = [2 * NUM_KEY_POINTS, len(OPENINGS)]  # of what the guess says, the first two


class SwappedPlaces:
    """The loss, and the network that reads poses for it, which nothing else uses.

    Attributes:
        network: trained with the pose extractor.
        guess: what w do; fitted when first asked.
    """

    def __init__(
        self, generator: Generator, frames: Frames, pose_factors: PoseFactors, seed: int
    ) -> None:
        """Start untrained.

        Args:
            generator: maps factors to w.
            frames: the data; it has factors and key points.
            pose_factors: where in the factors the pose is.
            seed: of the guess of places.
        """
        self._generator, self._frames, self._pose_factors = generator, frames, pose_factors
        self.guess = places_guess(generator, frames, seed)
        num_inputs = pose_factors.first + POSE_SIZE**2
        self.network = perceptron(num_inputs, _HIDDEN, sum(_GROUPS)).to(frames.device)

    def distance(self, rows: np.ndarray, samples: np.ndarray, poses: Tensor) -> Tensor:
        """How far off key points and openings are said to be, on average, as a share of the frame.

        Args:
            rows: of the whole batch [N], whose people are put into each other's poses.
            samples: places [n] in them.
            poses: of those [n, 1, 8, 8]; the gradient goes here and to the network.
        """
        of_pose = self._frames.factor_batch(rows[samples])
        distances = [
            self._distance(self._frames.factor_batch(partners), of_pose, poses.flatten(1))
            for partners in _partners(rows, samples)
        ]
        return torch.stack(distances).mean()

    def _distance(self, factors: Tensor, of_pose: Tensor, poses: Tensor) -> Tensor:
        with torch.no_grad():
            ws = self._generator.mapping(self._pose_factors.swapped(factors, of_pose))
            wanted = torch.cat(self.guess.effects(ws)[: len(_GROUPS)], dim=1)
        who = factors[:, : self._pose_factors.first]
        found = self.network(torch.cat([who, poses], dim=1))
        return PLACES_UNIT * mean_off(found, wanted, _GROUPS)


def _partners(rows: np.ndarray, samples: np.ndarray) -> Iterator[np.ndarray]:
    """Who is put into the poses of `samples`: those 1, 2, … places further in the batch."""
    for step in range(1, min(PARTNERS, len(rows) - 1) + 1):
        yield rows[(samples + step) % len(rows)]
