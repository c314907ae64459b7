"""Identity swaps: each face of a batch in more of its poses, compared as ws.

Where the factors of frames are known, the w of somebody in the pose of somebody else is too: that
of the first's factors with the pose of the second's. Recomposing costs little beside encoding, so
each appearance that was encoded is given several poses that were extracted anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.training.batches.recomposition_pairs import PoseFactors


def swapped_ws(
    network: AppearanceRecomposer,
    mapping: Callable[[Tensor], Tensor],
    pose_factors: PoseFactors,
    appearance: Tensor,
    poses: Tensor,
    factors: tuple[Tensor, Tensor],
    num_poses: int,
) -> tuple[Tensor, Tensor] | None:
    """The ws of each appearance in the poses of the next `num_poses` samples, and their targets.

    Args:
        network: recomposes.
        mapping: factors [M, Z] → ws [M, num_ws, w_dim].
        pose_factors: where in the factors the pose is.
        appearance: [N, C, 8, 8].
        poses: [N, 1, 8, 8].
        factors: z [N, Z] of the appearances, and of the poses.
        num_poses: of further poses for each; all others of the batch if there are fewer.

    Returns:
        Both [N · min(num_poses, N − 1), num_ws, w_dim]; None for a batch of one.
    """
    of_appearance, of_pose = factors
    steps = range(1, min(num_poses, len(of_appearance) - 1) + 1)
    if not steps:
        return None
    others = torch.cat([poses.roll(-step, dims=0) for step in steps])
    ws = network.recompose(appearance.repeat(len(steps), 1, 1, 1), others).float()
    with torch.no_grad():
        of_others = torch.cat([of_pose.roll(-step, dims=0) for step in steps])
        repeated = of_appearance.repeat(len(steps), 1)
        targets = mapping(pose_factors.swapped(repeated, of_others))
    return ws, targets
