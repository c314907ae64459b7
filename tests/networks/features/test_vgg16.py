"""VGG16 against torchvision's, as lpips cuts it."""

from __future__ import annotations

import pytest
import torch

from stylefacev_cli.networks.features.vgg16 import MEAN, STD, Vgg16


@pytest.mark.filterwarnings("ignore::UserWarning")  # lpips asks torchvision in an older way
def test_features_are_those_of_lpips() -> None:
    torchvision = pytest.importorskip("lpips.pretrained_networks", reason="an extra")
    torch.manual_seed(0)
    theirs, ours = torchvision.vgg16(requires_grad=False, pretrained=False), Vgg16()
    state = {name.partition(".")[2]: tensor for name, tensor in theirs.state_dict().items()}
    ours.layers.load_state_dict(state)
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    normalised = ((images + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    features = ours(images)
    assert [tuple(one.shape) for one in features] == [
        (2, 64, 32, 48), (2, 128, 16, 24), (2, 256, 8, 12), (2, 512, 4, 6), (2, 512, 2, 3),
    ]  # fmt: skip
    for mine, other in zip(features, theirs(normalised), strict=True):
        assert torch.equal(mine, other)
