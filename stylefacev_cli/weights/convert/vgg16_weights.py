"""VGG16's weights: torchvision's file, as `weights download` or torch hub keeps it."""

from __future__ import annotations

from pathlib import Path

import torch

from stylefacev_cli.errors import MissingWeightsError
from stylefacev_cli.weights.downloads.cache import path_of
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint

ENTRY = "vgg16"
FILE_NAME = "vgg16-397923af.pth"
_PREFIX = "features."


def vgg16_file() -> Path:
    """Where the file is, else where torch hub would keep it."""
    (file,) = find_entry(ENTRY).files
    hub = Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME
    return path_of(file) if path_of(file).is_file() else hub


def read_vgg16_features() -> dict[str, torch.Tensor]:
    """The convolutions of VGG16 by the names of torchvision's `features`, as `0.weight`.

    Raises:
        MissingWeightsError: the file is not there.
        IntegrityError: it is damaged.
    """
    path, entry = vgg16_file(), find_entry(ENTRY)
    if not path.is_file():
        raise MissingWeightsError(
            f"{path} is not there: run `stylefacev weights download {ENTRY}`, put torchvision's "
            "file there, or use efficientnet-lite0"
        )
    if path == path_of(entry.files[0]):
        fetch_entry(entry)  # it is there: its hash is compared
    tensors = read_checkpoint(path).load()
    return {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(_PREFIX)
    }
