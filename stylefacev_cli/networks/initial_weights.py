"""Initial weights from which the StyleFaceV networks are trained.

The authors start the appearance network and the PatchGAN discriminator from normal weights, the
motion discriminators from normal convolution weights with untouched biases, and the pose extractor
from He's initialisation, as residual networks are.
"""

from __future__ import annotations

from torch import nn

Convolution = (nn.Conv2d, nn.Conv3d)
BatchNorm = (nn.BatchNorm2d, nn.BatchNorm3d)

NORMAL_STD = 0.02


def init_normal(network: nn.Module, std: float = NORMAL_STD) -> None:
    """Weights ~ N(0, std), BatchNorm scales ~ N(1, std), every bias 0 (DCGAN, pix2pix).

    Args:
        network: changed in place, with all its children.
        std: standard deviation of the weights.
    """
    for module in network.modules():
        if isinstance(module, (*Convolution, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, BatchNorm):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)


def init_normal_convolutions(network: nn.Module, std: float = NORMAL_STD) -> None:
    """Convolution weights ~ N(0, std); everything else stays as PyTorch made it.

    Args:
        network: changed in place, with all its children.
        std: standard deviation of the weights.
    """
    for module in network.modules():
        if isinstance(module, Convolution):
            nn.init.normal_(module.weight, 0.0, std)


def init_residual(network: nn.Module) -> None:
    """He's normal weights (fan out, ReLU) in the convolutions, BatchNorm at scale 1 and shift 0.

    Linear layers stay as PyTorch made them. (He et al. 2015, "Delving Deep into Rectifiers".)

    Args:
        network: changed in place, with all its children.
    """
    for module in network.modules():
        if isinstance(module, Convolution):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, BatchNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
