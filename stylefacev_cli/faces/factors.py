"""Latents as faces: z [256] ↔ identity, scene and pose.

The first dimensions of z are the factors of variation, each standard normal: `identity`, `scene`,
`pose`. The rest, `filler`, says nothing; it is rescaled so that the RMS of z is exactly 1. A
generator's mapping network normalises z to RMS 1, so the factors reach it unchanged, all frames of
a person share their identity dimensions, and z ~ N(0, I) stays a proper latent: its factors are
standard normal up to the few per cent of its norm's spread.

Within identity, scene and pose the factors' places and signs are a fixed permutation
(`factor_layout`), so that no factor hangs on the first number of a random generator's stream.
`value` reads a factor by name, `with_values` sets some. `identity_map`, `scene_map` and `pose_map`
say what the factors of each block mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.factor_layout import (
    IDENTITY_NAMES,
    SCENE_NAMES,
    Z_DIM,
    permuted_layout,
)
from stylefacev_cli.faces.identity_map import identity_of
from stylefacev_cli.faces.parameters import POSE_NAMES, Identity, Pose, Scene
from stylefacev_cli.faces.pose_map import (
    CANONICAL,
    FRAMINGS,
    UNALIGNED,
    WIDE,
    FramingRange,
    PoseMap,
)
from stylefacev_cli.faces.scene_map import scene_of

__all__ = ["CANONICAL", "FRAMINGS", "UNALIGNED", "WIDE", "Z_DIM", "FaceFactors", "FramingRange"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class FaceFactors:
    """The latent's layout, and the maps between latents and parameters.

    `identity`, `scene`, `pose` and `filler` are slices of z; `names` and `signs` say which factor
    is at each place before the filler, and whether it is negated there.
    """

    names, signs = permuted_layout()
    identity = slice(0, len(IDENTITY_NAMES))
    scene = slice(identity.stop, identity.stop + len(SCENE_NAMES))
    pose = slice(scene.stop, scene.stop + len(POSE_NAMES))
    filler = slice(pose.stop, Z_DIM)

    def __init__(self, framing: FramingRange = CANONICAL) -> None:
        self.framing = framing
        self._pose_signs = self.signs[self.pose].astype(np.float64)
        self._poses = PoseMap(self.names[self.pose], framing)

    def value(self, z: F32, name: str) -> float:
        """A factor by name, of z [256] (KeyError: there is none of that name)."""
        place = self._place(name)
        return float(z[place] * self.signs[place])

    def with_values(self, z: F32, **values: float) -> F32:
        """Z [256] with some factors set by name; the filler keeps the RMS at 1."""
        new = z.astype(np.float64)
        for name, value in values.items():
            place = self._place(name)
            new[place] = value * self.signs[place]
        return self._fill(new)

    def columns(self) -> list[str]:
        """The factor at each place of z before the filler; a dash before its name: negated."""
        return [
            f"-{name}" if sign < 0 else name
            for name, sign in zip(self.names, self.signs, strict=True)
        ]

    def sample(self, rng: np.random.Generator) -> F32:
        """A new person in a new scene and pose: z [256], RMS 1."""
        return self._fill(rng.standard_normal(Z_DIM))

    def vary(self, z: F32, rng: np.random.Generator) -> F32:
        """The same person in a new scene and pose: z [256], RMS 1."""
        new = rng.standard_normal(Z_DIM)
        new[self.identity] = z[self.identity]
        return self._fill(new)

    def combine(self, identity_from: F32, pose_from: F32, scene_from: F32 | None = None) -> F32:
        """A in the pose of B: the ground truth of recomposition.

        Args:
            identity_from: z of A, who also gives the filler.
            pose_from: z of B.
            scene_from: z of the light and background; A's own if None.
        """
        new = identity_from.astype(np.float64)
        new[self.pose] = pose_from[self.pose]
        if scene_from is not None:
            new[self.scene] = scene_from[self.scene]
        return self._fill(new)

    def with_poses(self, z: F32, factors: F32) -> F32:
        """Z in the poses of `factors` [T, P] (see `pose_factors`): [T, 256], each of RMS 1."""
        rows = []
        for row in factors:
            new = z.astype(np.float64)
            new[self.pose] = row
            rows.append(self._fill(new))
        return np.stack(rows)

    def pose_factors(self, pose: Pose) -> F32:
        """The factors [P] whose pose is `pose`, as far as it lies in the ranges."""
        return np.asarray(self._poses.factors_of(pose) * self._pose_signs, np.float32)

    def pose_of(self, z: F32) -> Pose:
        """Expression, head pose, gaze and framing of z [256]."""
        return self._poses.pose_of(z[self.pose].astype(np.float64) * self._pose_signs)

    def identity_of(self, z: F32) -> Identity:
        """The person of z [256]."""
        return identity_of(self._named(z, self.identity))

    def scene_of(self, z: F32) -> Scene:
        """Light and background of z [256]."""
        return scene_of(self._named(z, self.scene))

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise KeyError(name)
        return self.names.index(name)

    def _named(self, z: F32, block: slice) -> dict[str, float]:
        """The factors of a block by name."""
        values = z[block] * self.signs[block]
        return dict(zip(self.names[block], values.tolist(), strict=True))

    def _fill(self, draw: F64) -> F32:
        """Rescale the filler so that the RMS is 1; the factors stay as they are."""
        z = draw.astype(np.float32).astype(np.float64)
        used = z[: self.filler.start]
        filler = z[self.filler]
        rest = Z_DIM - float(used @ used)
        assert rest > 0, "factors so extreme do not occur"
        z[self.filler] = filler * np.sqrt(rest / float(filler @ filler))
        return z.astype(np.float32)
