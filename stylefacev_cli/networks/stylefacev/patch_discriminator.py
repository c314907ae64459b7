"""The image discriminator of the joint stage: PatchGAN, real or not, patch by patch.

Source: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks".
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from stylefacev_cli.networks.initial_weights import init_normal
from stylefacev_cli.networks.stylefacev.batch_norm import BatchNorm2d

_KERNEL = 4
_MAX_WIDENING = 8


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """Sizes of the PatchGAN discriminator; the defaults are the authors' (patches of 70 px)."""

    in_channels: int = 3
    base_channels: int = 64  # of the first layer, doubled by each later one, at most 8 times
    num_layers: int = 3  # of stride 2: 1, 2, 3 give patches of 16, 34, 70 px


class PatchDiscriminator(nn.Module):
    """Strided convolutions with BatchNorm to a map of logits; starts from N(0, 0.02) weights."""

    def __init__(self, config: PatchDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PatchDiscriminatorConfig()
        widths = [
            config.base_channels * min(2**i, _MAX_WIDENING) for i in range(config.num_layers + 1)
        ]
        layers: list[nn.Module] = [
            nn.Conv2d(config.in_channels, widths[0], _KERNEL, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for i in range(1, config.num_layers + 1):
            stride = 2 if i < config.num_layers else 1
            layers += [
                nn.Conv2d(widths[i - 1], widths[i], _KERNEL, stride, padding=1, bias=False),
                BatchNorm2d(widths[i]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, _KERNEL, stride=1, padding=1))
        self.model = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every patch.

        Args:
            images: [N, 3, H, W] in [−1, 1]; with 3 layers H and W are at least 24.

        Returns:
            [N, 1, h, w].
        """
        channels = self.config.in_channels
        assert images.ndim == 4 and images.shape[1] == channels, (
            f"images [N, {channels}, H, W] expected, got {list(images.shape)}"
        )
        logits: Tensor = self.model(images)
        return logits
