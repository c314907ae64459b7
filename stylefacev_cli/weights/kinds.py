"""Kinds of models: StyleFaceV's own, those of Table 1, and those that plug-ins bring.

A manifest names its kind. Nothing here imports torch, so that a model of the wrong kind is refused
at once; what draws frames of each kind is in `generators`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stylefacev_cli.errors import UsageError

OWN_KIND = "stylefacev"
PLUGIN_GROUP = "stylefacev.generators"  # entry points of other packages: kind = function
PAPER_FRAMES = 16  # of the clips that the models of Table 1 were trained on

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NETWORK = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MAX_NETWORKS = 16


@dataclass(frozen=True)
class Kind:
    """One of the kinds that come with the package beside `OWN_KIND`.

    Attributes:
        networks: those of a model; of several sets any one.
        fps: frames a second of what its authors write.
        truncates: has a mean face to be drawn near to.
    """

    networks: tuple[tuple[str, ...], ...]
    fps: float
    truncates: bool = True


KINDS = {
    # Over its own StyleGAN2, or over a StyleGAN3 generator as in StyleFaceV's comparison.
    "mocogan-hd": Kind(
        (("stylegan2", "latent_motion"), ("generator", "latent_motion")), 10.0, truncates=False
    ),
    "stylegan-v": Kind((("stylegan_v",),), 25.0),
    "digan": Kind((("digan",),), 8.0),
}
IMAGE_NETWORKS = ("generator", "stylegan2", "stylegan_v", "digan")  # one of them names the size


def check_kind_name(kind: str, where: str) -> None:
    """Check the name of a kind.

    Raises:
        UsageError: it is not made of small letters, digits and dashes.
    """
    if not _NAME.fullmatch(kind):
        raise UsageError(f"{where}.kind must be small letters, digits and dashes")


def kind_of_networks(names: Iterable[str]) -> str:
    """The kind of a model with these networks; own where they are those of none other."""
    found = set(names)
    for kind, about in KINDS.items():
        if any(found == set(networks) for networks in about.networks):
            return kind
    return OWN_KIND


def networks_of(
    kind: str, architecture: Mapping[str, Any], files: Mapping[str, Any], where: str
) -> list[str]:
    """The networks of a model of another kind than our own, checked.

    Args:
        kind: of the model.
        architecture: settings of its networks, by name.
        files: its files of weights, by name.
        where: what they belong to, for the message.

    Returns:
        The names of those that have a file; a plug-in's networks may do without.

    Raises:
        UsageError: they are not those of the kind.
    """
    with_file = [name.removesuffix(".safetensors") for name in files]
    names = sorted({*architecture, *with_file})
    if kind in KINDS:
        sets = KINDS[kind].networks
        if not any(set(architecture) == set(one) == set(with_file) for one in sets):
            wanted = " or ".join(" and ".join(one) for one in sets)
            raise UsageError(f"{where}: a model of the kind {kind} has {wanted}, each with a file")
        return names
    if len(names) > _MAX_NETWORKS or not all(_NETWORK.fullmatch(name) for name in names):
        raise UsageError(f"{where}: networks are named in small letters, digits and underscores")
    if not set(with_file) <= set(architecture):
        raise UsageError(f"{where}: each file of weights has a section in architecture")
    return [name for name in names if name in with_file]


def only_for_own(name: str, kind: str, what: str = "this job") -> UsageError:
    """The error of a job that models of other kinds cannot do."""
    return UsageError(
        f"{name} is a model of the kind {kind}: {what} needs one of StyleFaceV's own "
        "(stylefacev weights list)"
    )
