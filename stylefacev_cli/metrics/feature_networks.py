"""Feature networks of FID, by name."""

from __future__ import annotations

from torch import Tensor

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.metrics.fid import FeatureNetwork
from stylefacev_cli.networks.features import inception
from stylefacev_cli.weights.convert.efficientnet_weights import ENTRY as EFFICIENTNET_ENTRY
from stylefacev_cli.weights.convert.efficientnet_weights import load_efficientnet
from stylefacev_cli.weights.downloads.cache import hash_of
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint

INCEPTION_ENTRY = "inception-2015"
EFFICIENTNET_SIZE_PX = 224
NAMES = (INCEPTION_ENTRY, EFFICIENTNET_ENTRY)


def image_network(name: str) -> FeatureNetwork:
    """A feature network of images by its name in the registry.

    Raises:
        UsageError: no such network.
        MissingWeightsError: its weights are not there and cannot be fetched.
        IntegrityError: its weights are damaged.
    """
    if name == INCEPTION_ENTRY:
        return inception_network(_read_inception(), hash_of(find_entry(name)))
    if name != EFFICIENTNET_ENTRY:
        raise UsageError(f"no feature network {name!r}; there are {', '.join(NAMES)}")
    trunk = load_efficientnet()

    def features(images: Tensor) -> Tensor:
        pooled: Tensor = trunk(images / 127.5 - 1)[-1].mean(dim=(2, 3))
        return pooled

    return FeatureNetwork(
        f"{name}, the last block, pooled", hash_of(find_entry(name)), EFFICIENTNET_SIZE_PX, features
    )


def inception_network(network: inception.InceptionV3, sha256: str) -> FeatureNetwork:
    """Inception-v3's 2048 pooled features; `sha256` is that of its weights."""

    def features(images: Tensor) -> Tensor:
        pooled: Tensor = network((images - 128) / 128)
        return pooled

    name = f"{INCEPTION_ENTRY}-12-05, pool_3"
    return FeatureNetwork(name, sha256, inception.INPUT_SIZE_PX, features)


def _read_inception() -> inception.InceptionV3:
    (path,) = fetch_entry(find_entry(INCEPTION_ENTRY))
    network = inception.InceptionV3()
    try:
        network.load_state_dict(read_checkpoint(path).load())
    except (RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntegrityError(f"{path} does not hold Inception-v3's weights: {reason}") from error
    return network.eval().requires_grad_(False)
