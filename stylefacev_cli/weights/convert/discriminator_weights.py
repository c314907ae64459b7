"""A pretrained discriminator out of a StyleGAN3 snapshot: read at train time, in no bundle.

Videos need no discriminator, and it is larger than the generator; so it stays in the file that it
came in, beside the generator that it was trained with.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import (
    DiscriminatorConfig,
    ImageDiscriminator,
)
from stylefacev_cli.weights.architectures import check_names, listed
from stylefacev_cli.weights.downloads.cache import path_of
from stylefacev_cli.weights.downloads.registry import read_registry
from stylefacev_cli.weights.untrusted.foreign_file import open_weights
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused
from stylefacev_cli.weights.untrusted.reader import read_stylegan_pickle
from stylefacev_cli.weights.untrusted.stylegan_snapshot import snapshot_network


def load_discriminator(name_or_file: str, config: DiscriminatorConfig) -> ImageDiscriminator:
    """Read the discriminator of a snapshot; none of the code in it is run.

    Args:
        name_or_file: a StyleGAN3 `.pkl` with a network `D`, or the name under which
            `weights download` fetched one.
        config: the sizes that it must have.

    Raises:
        MissingWeightsError: there is no such file.
        IntegrityError: it is damaged, has no discriminator, or one of other sizes.
    """
    path = _located(name_or_file)
    try:
        network = snapshot_network(read_stylegan_pickle(open_weights(path)), "D", "Discriminator")
    except PickleRefused as error:
        raise IntegrityError(f"{path} is refused: {error}: nothing in it was run") from error
    discriminator = ImageDiscriminator(config)
    wanted = discriminator.state_dict()
    check_names(set(wanted), set(network.tensors), path)
    wrong = [
        f"{name} is {list(network.tensors[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if network.tensors[name].shape != tuple(tensor.shape)
    ]
    if wrong:
        raise IntegrityError(
            f"{path} does not fit the config's section discriminator: {listed(wrong, most=3)}"
        )
    for name, tensor in wanted.items():
        stored: torch.Tensor = network.tensors[name].load()
        if not stored.isfinite().all():
            raise IntegrityError(f"{path}: {name} holds numbers that are not finite")
        tensor.copy_(stored)  # the state dict shares its memory with the network
    return discriminator


def _located(name_or_file: str) -> Path:
    path = Path(name_or_file)
    entry = None if path.exists() else read_registry().get(name_or_file)
    if entry is not None:
        path = path_of(entry.files[0])
    if not path.is_file():
        advice = f": run `stylefacev weights download {name_or_file}` first" if entry else ""
        raise MissingWeightsError(f"no such file of a discriminator: {path}{advice}")
    return path
