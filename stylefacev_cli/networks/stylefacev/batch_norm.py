"""Batch normalisation whose batch is that of all processes together, or each image alone.

Source: Ioffe and Szegedy 2015, "Batch Normalization"; torch's own synchronised one needs a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.common.distributed import gathered, num_processes


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, and the same over the whole batch when several processes train on parts of it.

    The parts are of the same size. With means m_r and variances v_r of the parts,

        mean = E_r m_r        variance = E_r (v_r + (m_r − mean)²)

    A process alone, and a network in evaluation mode, do what torch's module does, to the bit.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        if not self.training or num_processes() == 1:
            return super().forward(x)
        own = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        variances, means = gathered(torch.stack(own)).unbind(dim=1)  # [processes, C] each
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        if self.track_running_stats:
            count = num_processes() * x.numel() // x.shape[1]
            self._note(mean.detach(), variance.detach(), count)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; the variance without the bias of a sample of `count`."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        self.num_batches_tracked += 1


class PerImageNorm2d(BatchNorm2d):
    """As StyleFaceV's authors train and sample: by the batch in training, else each image alone.

    In training mode it is `BatchNorm2d`. They never leave that mode, and sample with a batch of one
    image; evaluation mode does the same for each image of any batch. With the mean m and the biased
    variance v of each channel of an image over its H × W places,

        y = weight · (x − m) / √(v + eps) + bias

    Nothing reads the running statistics, which training mode moves. A map of one place has no
    statistics and is refused, as torch does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        if self.training:
            return super().forward(x)
        return F.instance_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise as in training mode inside, but leave the running statistics as they are.

    For a network that others are trained behind: it is not to change.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, tracks) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, tracks
