"""Each face of a batch in more of its poses: recomposing costs little beside encoding."""

from __future__ import annotations

import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.recomposition_pairs import PoseFactors


def further_swaps(
    network: AppearanceRecomposer,
    generator: Generator,
    pose_factors: PoseFactors,
    appearance: Tensor,
    poses: Tensor,
    factors: tuple[Tensor, Tensor],
    count: int,
) -> tuple[Tensor, Tensor]:
    """Recompose each appearance with the poses of the next `count` of the batch, all if fewer.

    Args:
        network: recomposes.
        generator: gives the ws of the factors.
        pose_factors: where in the factors the pose is.
        appearance: [N, C, 8, 8].
        poses: [N, 1, 8, 8].
        factors: z [N, Z] of who is seen, and of those whose poses these are.
        count: of further poses for each.

    Returns:
        What the network makes, and what it should: both [N · min(count, N − 1), num_ws, w_dim].
    """
    who, how = factors
    steps = range(1, min(count, len(who) - 1) + 1)
    if not steps:
        none = who.new_zeros(0, generator.num_ws, generator.config.w_dim)
        return none, none
    others = torch.cat([poses.roll(-step, dims=0) for step in steps])
    ws = network.recompose(appearance.repeat(len(steps), 1, 1, 1), others).float()
    with torch.no_grad():
        of_others = torch.cat([how.roll(-step, dims=0) for step in steps])
        wanted = generator.mapping(pose_factors.swapped(who.repeat(len(steps), 1), of_others))
    return ws, wanted
