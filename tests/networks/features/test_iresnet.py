from __future__ import annotations

import torch

from stylefacev_cli.networks.features.iresnet import IResNet50


def released_names() -> set[str]:
    """The keys of iresnet50-7f187506.pth, by the public code that reads it."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {"conv1.weight", "prelu.weight", "fc.weight", "fc.bias"}
    names |= {f"{module}.{part}" for module in ("bn1", "bn2", "features") for part in norm}
    for layer, num_blocks in ((1, 3), (2, 4), (3, 14), (4, 3)):
        for block in range(num_blocks):
            place = f"layer{layer}.{block}"
            names |= {f"{place}.{m}.weight" for m in ("conv1", "conv2", "prelu")}
            names |= {f"{place}.bn{i}.{part}" for i in (1, 2, 3) for part in norm}
        names |= {f"layer{layer}.0.downsample.0.weight"}
        names |= {f"layer{layer}.0.downsample.1.{part}" for part in norm}
    return names


def test_names_shapes_and_size_are_those_of_the_released_network() -> None:
    network = IResNet50().eval()
    state = network.state_dict()
    assert set(state) == released_names()
    assert state["fc.weight"].shape == (512, 25088)
    assert state["layer3.0.conv1.weight"].shape == (256, 128, 3, 3)
    # 43.59 million, as insightface's list of models says of R50.
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == 43.59
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 112, 112)).shape == (1, 512)
