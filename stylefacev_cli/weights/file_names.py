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
_GENERATORS = re.compile(r"generator\.(?:pt|safetensors)|(?:network-snapshot|stylegan3).*\.pkl")


def network_of_file(name: str) -> str | None:
    """Which network a file of this name holds; None for files that are not needed.

    Args:
        name: without folders.
    """
    if _GENERATORS.fullmatch(name):
        return "generator"
    for network, published in EXPORT_NAMES.items():
        if name == published:
            return network
    return None
