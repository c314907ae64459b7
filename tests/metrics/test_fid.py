from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from stylefacev_cli.errors import UsageError
from stylefacev_cli.metrics.feature_distances import frechet_distance, kernel_distance
from stylefacev_cli.metrics.feature_networks import inception_network
from stylefacev_cli.metrics.fid import (
    FeatureNetwork,
    Picture,
    compare_images,
    image_features,
    resized,
)
from stylefacev_cli.networks.features.inception import InceptionV3


def pictures(count: int, seed: int, size: int = 48) -> list[Picture]:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, size=(count, 6, 6, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize((size, size))) for one in coarse]


@pytest.fixture(scope="module")
def inception() -> InceptionV3:
    """Random weights, with statistics that keep the signal alive."""
    torch.manual_seed(0)
    network = InceptionV3()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


def test_agrees_with_torch_fidelity_on_the_same_weights_and_images(
    inception: InceptionV3, tmp_path: Path
) -> None:
    path = tmp_path / "inception.pth"
    torch.save(inception.state_dict(), path)
    theirs = FeatureExtractorInceptionV3("oracle", ["2048"], str(path))
    ours, oracle = [], []
    for seed, count in ((1, 14), (2, 12)):
        images = pictures(count, seed)
        ours.append(image_features(inception_network(inception, ""), images, "tensorflow1"))
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        oracle.append(theirs(batch)[0].double())
    statistics = [fid_features_to_statistics(features) for features in oracle]
    wanted = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert wanted > 0.01
    assert frechet_distance(*ours) == pytest.approx(wanted, rel=1e-5)
    kid = kid_features_to_metric(
        *oracle, kid_subsets=8, kid_subset_size=10, rng_seed=3, verbose=False
    )
    found = kernel_distance(*ours, num_subsets=8, subset_size=10, seed=3)
    assert found.mean == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-5)


def test_clean_resize_is_antialiased_and_not_rounded() -> None:
    image = pictures(1, 3, 400)[0]
    small = resized(image, 20, "clean")
    assert small.shape == (3, 20, 20) and 0 <= small.min() and small.max() <= 255
    assert (small != small.round()).any()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert resized(stripes, 16, "clean")[:, 4:-4, 4:-4].sub(127.5).abs().max() < 3
    assert resized(stripes, 16, "tensorflow1").eq(255).all()  # which sees every fourth column
    with pytest.raises(UsageError, match="clean, tensorflow1"):
        resized(image, 20, "nearest")


def test_features_are_made_in_batches_and_in_order() -> None:
    images = [np.full((8, 8, 3), level, np.uint8) for level in range(40)]
    sizes = []

    def mean(inputs: torch.Tensor) -> torch.Tensor:
        sizes.append(len(inputs))
        return inputs.mean(dim=(2, 3))

    features = image_features(FeatureNetwork("mean", "", 8, mean), images)
    np.testing.assert_allclose(features[:, 0], range(40), atol=1e-3)
    assert sizes == [16, 16, 8]


def test_a_number_comes_with_its_floor() -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(300, 6)), random.normal(size=(150, 6)) + 1
    found = compare_images(fake, real, 150)
    assert found.fid > 5 > 0.5 > found.floor and found.floor_images == 150
    assert found.kid.mean > 0 and 0 < found.coverage.precision < 1
    assert "150 images are few" in found.warnings[0] and len(found.warnings) == 1
