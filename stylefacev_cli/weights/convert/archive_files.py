"""Which files of a folder or zip hold which networks: published names, in any sub-folder.

The trained pose extractor and appearance network go before those of before the joint stage
(`pre_net.pth`, `pre_pose_net.pth`); landmarks and motion belong to the trained ones only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.common.untrusted.archives import open_archive, unpack
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.weights.convert.file_names import (
    EXPORT_NAMES,
    GENERATOR_PICKLE,
    PRETRAINED_NAMES,
    network_of_file,
)

_MAX_FILES = 100_000  # of a folder; a home folder was given by mistake
_OF_TRAINED_POSES = ("landmarks", "motion")


@dataclass(frozen=True)
class ChosenFiles:
    """Files by network, and lines on what was left aside."""

    files: Mapping[str, Path]
    notes: tuple[str, ...]


def files_of_archive(archive: Path, target: Path, given: Mapping[str, Path]) -> ChosenFiles:
    """Find the files of networks in a folder, or in a zip, from which they are unpacked.

    Args:
        archive: the folder, with all that is below it, or the zip.
        target: a new folder for what is unpacked.
        given: files of networks that were named; nothing is looked for in place of them.

    Raises:
        MissingWeightsError: there is no such archive.
        UsageError: the folder holds far more than weights.
        IntegrityError: two files may be that of a network, or the zip is damaged.
    """
    if not archive.exists():
        raise MissingWeightsError(f"no such archive: {archive}")
    if archive.is_dir():
        chosen, notes = _chosen(_names_below(archive), archive, given)
        return ChosenFiles({network: archive / name for network, name in chosen.items()}, notes)
    target.mkdir()
    with open_archive(archive) as opened:
        names = [info.filename for info in opened.infolist() if not info.is_dir()]
        chosen, notes = _chosen(names, archive, given)
        files = {network: target / Path(name).name for network, name in chosen.items()}
        for network, name in chosen.items():
            unpack(opened, name, files[network])
    return ChosenFiles(files, notes)


def _names_below(folder: Path) -> list[str]:
    names: list[str] = []
    for place, _, files in os.walk(folder):
        below = Path(place).relative_to(folder)
        names += [(below / name).as_posix() for name in files if (Path(place) / name).is_file()]
        if len(names) > _MAX_FILES:
            raise UsageError(f"{folder} holds more than {_MAX_FILES} files: name a folder below it")
    return names


def _chosen(
    names: Iterable[str], archive: Path, given: Mapping[str, Path]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Name of each network's file, and lines on what was left aside."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        network = network_of_file(_leaf(name))
        is_hidden = name.startswith("__MACOSX/") or any(p[0] == "." for p in name.split("/"))
        if network is not None and network not in given and not is_hidden:
            found.setdefault(network, []).append(name)
    _drop_pickle_twins(found.get("generator", []))
    notes = _keep_one_kind_of_encoder(found, given)
    chosen: dict[str, str] = {}
    for network, same in found.items():
        first, *others = sorted(same, key=lambda name: name.count("/"))
        if others and others[0].count("/") == first.count("/"):
            raise IntegrityError(
                f"{archive} has two files for the {network} ({first} and {others[0]}): name the "
                f"right one with --{network}, or another --archive"
            )
        notes += [f"{name} was left aside: {first} is the {network}" for name in others]
        chosen[network] = first
    pose = given.get("pose") or chosen.get("pose")
    if pose is not None and _leaf(str(pose)) == PRETRAINED_NAMES["pose"]:
        notes += [
            f"{chosen.pop(network)} was left aside: it belongs to {EXPORT_NAMES['pose']}, "
            f"not to {PRETRAINED_NAMES['pose']}"
            for network in _OF_TRAINED_POSES
            if network in chosen
        ]
    return chosen, tuple(notes)


def _drop_pickle_twins(names: list[str]) -> None:
    """Leave out the pickle that an export has beside the same generator in another format."""
    folders = {_folder(name) for name in names if _leaf(name) == EXPORT_NAMES["generator"]}
    for name in [name for name in names if _leaf(name) == GENERATOR_PICKLE]:
        if _folder(name) in folders:
            names.remove(name)


def _keep_one_kind_of_encoder(found: dict[str, list[str]], given: Mapping[str, Path]) -> list[str]:
    """Keep pose and appearance as trained, where both are there, else those of before."""
    is_trained = all(
        _leaf(str(given[network])) != before
        if network in given
        else any(_leaf(name) != before for name in found.get(network, []))
        for network, before in PRETRAINED_NAMES.items()
    )
    notes = []
    for network, before in PRETRAINED_NAMES.items():
        names = found.get(network, [])
        wanted = [name for name in names if (_leaf(name) != before) == is_trained] or names
        notes += [
            f"{name} was left aside: {wanted[0]} is the {network}"
            for name in names
            if name not in wanted
        ]
        if names:
            found[network] = wanted
    return notes


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
