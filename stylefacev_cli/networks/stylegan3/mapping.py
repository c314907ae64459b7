"""The mapping network of StyleGAN3, and the fully connected layer of all its networks.

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (2021), appendix D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from stylefacev_cli.common.distributed import averaged

EPSILON = 1e-8  # of the original, in the normalisation of z


class FullyConnectedLayer(nn.Module):
    """Linear layer with equalised learning rate: stored weights have RMS 1 / lr_multiplier."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        weight_init: float = 1.0,
        bias_init: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        initial_weight = torch.randn(out_features, in_features) * (weight_init / lr_multiplier)
        initial_bias = torch.zeros(out_features) + torch.tensor(bias_init) / lr_multiplier
        self.weight = nn.Parameter(initial_weight)
        self.bias = nn.Parameter(initial_bias)
        self.activate = activate
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [N, in_features] to [N, out_features], through a leaky ReLU if `activate`."""
        x = torch.addmm(self.bias * self.bias_gain, x, self.weight.t(), alpha=self.weight_gain)
        return F.leaky_relu(x, 0.2) * math.sqrt(2) if self.activate else x


class MappingNetwork(nn.Module):
    """z -> w, repeated for every layer of the synthesis."""

    w_avg: torch.Tensor

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, num_ws: int, num_layers: int, w_avg_beta: float
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = z_dim, c_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        in_features = z_dim
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, w_dim)
            in_features += w_dim
        for index in range(num_layers):
            layer = FullyConnectedLayer(in_features, w_dim, activate=True, lr_multiplier=0.01)
            self.add_module(f"fc{index}", layer)
            in_features = w_dim
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: torch.Tensor,
        c: torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
    ) -> torch.Tensor:
        """The ws of all layers for latents.

        Args:
            z: [N, z_dim]; its length does not matter, only its direction.
            c: [N, c_dim] class labels, for a network with labels.
            truncation_psi: 1 = as sampled, 0 = the mean w.
            truncation_cutoff: Number of layers that are truncated, None for all.
            update_emas: Let this batch move the mean w (training).

        Returns:
            ws [N, num_ws, w_dim] float32.
        """
        assert z.ndim == 2 and z.shape[1] == self.z_dim, (
            f"z [N, {self.z_dim}] expected, got {list(z.shape)}"
        )
        x = normalize(z.to(self.w_avg.dtype))
        if self.c_dim > 0:
            assert c is not None and c.shape == (len(z), self.c_dim), (
                f"labels c [{len(z)}, {self.c_dim}] expected"
            )
            x = torch.cat([x, normalize(self.embed(c.to(self.w_avg.dtype)))], dim=1)
        for index in range(self.num_layers):
            x = self.get_submodule(f"fc{index}")(x)

        if update_emas:
            with torch.no_grad():
                self.w_avg.lerp_(averaged(x.mean(dim=0)), 1 - self.w_avg_beta)
        ws = x[:, None].repeat(1, self.num_ws, 1)  # [N, num_ws, w_dim]
        if truncation_psi == 1:
            return ws
        truncated = self.w_avg.lerp(ws[:, :truncation_cutoff], truncation_psi)
        return torch.cat([truncated, ws[:, truncated.shape[1] :]], dim=1)


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Scale the rows of x to RMS 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
