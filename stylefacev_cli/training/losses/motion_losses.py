"""Losses between the motion sampler and its two discriminators."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylefacev_cli.common.distributed import averaged


def relativistic(better: list[Tensor], worse: list[Tensor]) -> Tensor:
    """Relativistic average LSGAN (Jolicoeur-Martineau 2019), half of each side, over all scales.

        ½·E[(D(b) − E D(w) − 1)²] + ½·E[(D(w) − E D(b))²]

    Args:
        better: logits, one tensor a scale, of what should be judged the more real: real sequences
            for the discriminator, generated ones for the sampler. Expectations are over all
            processes.
        worse: those of the others.
    """
    total = better[0].new_zeros(())
    for high, low in zip(better, worse, strict=True):
        total = total + 0.5 * (high - averaged(low.mean()) - 1).square().mean()
        total = total + 0.5 * (low - averaged(high.mean())).square().mean()
    return total


def gradient_penalty(
    discriminator: nn.Module, real: Tensor, generated: Tensor, mix: Tensor
) -> Tensor:
    """(|∂D/∂x| − 1)² between real and generated, its norm over channels, the mean over scales.

    Args:
        discriminator: gives a list of logits.
        real: [N, C, T, H, W].
        generated: the same shape.
        mix: [N] random numbers in [0, 1), how much of the real one to take.
    """
    mix = mix.to(real).view(-1, 1, 1, 1, 1)
    between = (mix * real + (1 - mix) * generated).detach().requires_grad_(True)
    logits = discriminator(between)
    total = real.new_zeros(())
    for of_scale in logits:
        (gradient,) = torch.autograd.grad(of_scale.sum(), [between], create_graph=True)
        norm = (gradient.square().sum(dim=1) + 1e-12).sqrt()
        total = total + (norm - 1).square().mean()
    return total / len(logits)


def in_reverse(clips: Tensor, backwards: Tensor) -> Tensor:
    """Clips [N, C, T, H, W], those that bool [N] marks with their frames in reverse order."""
    if not backwards.any():
        return clips
    chosen = backwards.to(clips.device).view(-1, 1, 1, 1, 1)
    return torch.where(chosen, clips.flip(2), clips)


LAGS = (1, 2, 4, 8, 16, 32, 48)  # frames
LEAST_MOVED = 0.01  # in the unit of the statistics


def structure(sequences: Tensor) -> Tensor:
    """Root of the structure function: how far statistics move in so many frames.

    D(τ)² = E|x(t+τ) − x(t)|², as of turbulent flows (Kolmogorov 1941): small lags tell of speed
    and jitter, large ones of range and drift.

    Args:
        sequences: [N, T, K] of K values, T more than one frame.

    Returns:
        [L, K], for each lag that is shorter than T.
    """
    lags = [lag for lag in LAGS if lag < sequences.shape[1]]
    moved = [(sequences[:, lag:] - sequences[:, :-lag]).square().mean(dim=(0, 1)) for lag in lags]
    return (torch.stack(moved) + 1e-12).sqrt()


def structure_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Square of the logarithm of how far values move over how far they should: [K], over lags.

    Below `LEAST_MOVED` it makes no difference how far.

    Args:
        generated: sequences [N, T, K].
        target: the `structure` [L, K] of real ones of that length.
    """
    moved, expected = (sizes.clamp(min=LEAST_MOVED) for sizes in (structure(generated), target))
    return (moved / expected).log().square().mean(dim=0)


STEPS = (1, 4, 16)  # frames


def increments_loss(generated: Tensor, real: Tensor) -> Tensor:
    """`marginal_loss` of how far values move in some numbers of frames, over them: [K].

    It tells rare and fast movements (blinks) from small ones all the time (trembling), which the
    structure function, a mean of squares, does not.

    Args:
        generated: sequences [N, T, K].
        real: the same shape.
    """
    losses = []
    for lag in STEPS:
        if lag < generated.shape[1]:
            moved, target = ((x[:, lag:] - x[:, :-lag]).flatten(0, 1) for x in (generated, real))
            unit = target.square().mean(dim=0).sqrt().clamp(min=1e-3)
            losses.append(marginal_loss(moved, target) / unit)
    return torch.stack(losses).mean(dim=0)


def marginal_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Distance of the distributions of each of K values: Wasserstein-1, by sorting: [K].

    Args:
        generated: [M, K].
        real: the same shape.
    """
    return (generated.sort(dim=0).values - real.sort(dim=0).values).abs().mean(dim=0)
