"""Batch normalisation whose batch is that of all processes together, or each image alone.

Source: Ioffe and Szegedy 2015, "Batch Normalization"; torch's own synchronised one needs a GPU.
"""

from __future__ import annotations

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
        self._note(mean.detach(), variance.detach(), num_processes() * x.numel() // x.shape[1])
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
    """What torch's module does in training mode with a batch of one image, for each image alone.

    With the mean m and the biased variance v of each channel of an image over its H × W places,

        y = weight · (x − m) / √(v + eps) + bias

    in training and in evaluation mode, whatever the batch. The running statistics move in training
    mode only, by the mean over the images, and nothing here reads them; every process moves its own
    (`optim.average_buffers`). A map of one place has no statistics and is refused, as torch does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [N, C, H, W]."""
        moved = (self.running_mean, self.running_var) if self.training else (None, None)
        momentum = self.momentum or 0.0
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        return F.instance_norm(x, *moved, self.weight, self.bias, True, momentum, self.eps)
