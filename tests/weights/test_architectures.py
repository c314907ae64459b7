"""Numbers of an architecture are counted before any memory is taken for them."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import pytest

from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.weights.architectures import build_network, read_config
from stylefacev_cli.weights.manifest import Manifest, read_manifest

ODD: list[tuple[str, dict[str, Any]]] = [
    ("motion", {"hidden_dim": 60_000}),
    ("motion", {"pose_dim": 65_536, "hidden_dim": 20_000}),
    ("generator", {"w_dim": 65_536}),
    ("generator", {"z_dim": 65_536, "w_dim": 40_000}),
    ("generator", {"channel_base": 65_536, "channel_max": 65_536}),
    ("generator", {"filter_size": 65_536, "lrelu_upsampling": 65_536}),
    ("generator", {"filter_size": 20_000, "use_radial_filters": True, "conv_kernel": 1}),
    ("generator", {"conv_kernel": 65_536}),
    ("generator", {"num_layers": 65_536, "channel_base": 1}),
    ("generator", {"mapping_layers": 65_536}),
    ("landmarks", {"input_size": 65_536, "stem_stride": 1}),
    ("landmarks", {"width": 65_536}),
    ("landmarks", {"input_size": 0, "depth": 65_536}),
    ("appearance", {"base_channels": 65_536}),
    ("appearance", {"lift_blocks": 65_536}),
    ("appearance", {"expansion": 65_536, "appearance_channels": 65_536}),
    ("pose", {"channels": [65_536, 65_536, 1]}),
    ("pose", {"blocks_per_stage": 65_536, "channels": [1, 1, 1], "inner_channels": [1, 1, 1]}),
]


@pytest.fixture(scope="module")
def default() -> Manifest:
    return read_manifest("default-128")


@pytest.mark.parametrize(("network", "odd"), ODD, ids=str)
def test_absurd_sizes_end_at_once(default: Manifest, network: str, odd: dict[str, Any]) -> None:
    settings = {**default.architecture[network], **odd}
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin_s = time.process_time()
    with pytest.raises(StyleFaceVError) as caught:
        config = read_config(network, settings, network)
        build_network(network, config, default.files[network].bytes, Path("x.safetensors"))
    assert "\n" not in str(caught.value) and caught.value.exit_code in (2, 4)
    assert time.process_time() - begin_s < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 400_000
