"""The names that the files of networks bear where they are published."""

from __future__ import annotations

import re

EXPORT_NAMES = {
    "generator": "generator.pt",
    "appearance": "latest_net_FE.pth",
    "landmarks": "latest_net_FE_lm.pth",
    "pose": "latest_net_FE_pose.pth",
    "motion": "motion_net.pth",
    "detector": "wing.ckpt",
}
GENERATOR_PICKLE = "generator.pkl"  # beside `generator.pt`: the same weights, for StyleGAN3's code
PRETRAINED_NAMES = {  # as they were before the joint stage
    "appearance": "pre_net.pth",
    "pose": "pre_pose_net.pth",
}
_GENERATORS = re.compile(r"generator\.(?:pt|pkl|safetensors)|(?:network-snapshot|stylegan3).*\.pkl")
_NETWORKS = {
    name: network for names in (EXPORT_NAMES, PRETRAINED_NAMES) for network, name in names.items()
}


def network_of_file(name: str) -> str | None:
    """Which network a file of this name holds; None for files that are not needed.

    Args:
        name: without folders.
    """
    return "generator" if _GENERATORS.fullmatch(name) else _NETWORKS.get(name)
