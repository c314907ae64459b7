"""A model bundle → state dicts under the original file names, for the original code.

Beside them lies `export.yaml`: architectures, and the generator's arguments in the words of the
original class. With it, importing the files again gives the same bundle, bit for bit. The generator
is there twice: as a state dict, and as a pickle that StyleGAN3's code reads.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from stylefacev_cli.common.files import write_atomic
from stylefacev_cli.common.settings import build, read_yaml, to_plain
from stylefacev_cli.errors import IntegrityError, StyleFaceVError, UsageError
from stylefacev_cli.weights.architectures import read_config, read_configs
from stylefacev_cli.weights.convert.file_names import EXPORT_NAMES, GENERATOR_PICKLE
from stylefacev_cli.weights.convert.generator_pickle import generator_pickle
from stylefacev_cli.weights.manifest import (
    NETWORK_NAMES,
    Manifest,
    read_manifest,
    verify_files,
    weights_path,
    with_normalisation,
)
from stylefacev_cli.weights.manifest_checks import check_aliases, is_sha256
from stylefacev_cli.weights.untrusted.foreign_file import read_checkpoint

DESCRIPTION_NAME = "export.yaml"
_FORMAT = 1
_OF_MAPPING = {"mapping_layers": "num_layers", "w_avg_beta": "w_avg_beta"}


@dataclass(frozen=True)
class Description:
    """The content of `export.yaml`.

    Attributes:
        fps: of the model.
        licence: of the weights.
        provenance: how the weights came to be.
        files: name and SHA-256 of each network's file, by network.
        configs: the settings of each network.
        aliases: hashes of earlier manifests of the model.
    """

    fps: float
    licence: str
    provenance: Mapping[str, Any]
    files: Mapping[str, tuple[str, str]]
    configs: Mapping[str, Any]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class _PlainKeys:
    """The keys of `export.yaml` beside its sections."""

    format: int
    name: str
    fps: float
    licence: str
    aliases: tuple[str, ...] = ()


def export_model(name_or_folder: str | Path, folder: Path, *, force: bool = False) -> list[Path]:
    """Write the networks of a model as state dicts under their original names.

    Args:
        name_or_folder: the model, as for `find_bundle`.
        folder: made if need be.
        force: replace files that are there.

    Returns:
        The paths written; `export.yaml` is the last.

    Raises:
        MissingWeightsError: there is no such model.
        IntegrityError: the model is damaged.
        UsageError: a file is there already.
        StyleFaceVError: the folder cannot be written.
    """
    manifest = read_manifest(name_or_folder)
    configs = read_configs(manifest)
    # A pose follower is not exported: the authors' code knows no such network.
    paths = {name: folder / EXPORT_NAMES[name] for name in manifest.files if name in EXPORT_NAMES}
    snapshot, description = folder / GENERATOR_PICKLE, folder / DESCRIPTION_NAME
    for path in (*paths.values(), snapshot, description):
        if path.exists() and not force:
            raise UsageError(f"{path} is there already: give --force to replace it")
    verify_files(manifest)
    files: dict[str, dict[str, Any]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        description.unlink(missing_ok=True)  # it is no longer true of the files to come
        for network, path in paths.items():
            state: dict[str, Any] = _stored(weights_path(manifest.folder, network))
            data = _torch_bytes({"state_dict": state} if network == "detector" else state)
            write_atomic(path, data, synced=True)
            if network == "generator":
                arguments = original_arguments(to_plain(configs[network]))
                write_atomic(snapshot, generator_pickle(arguments, state), synced=True)
            files[network] = {
                "name": path.name,
                "sha256": hashlib.sha256(data).hexdigest(),
                "architecture": to_plain(configs[network]),
            }
        write_atomic(description, _description(manifest, configs, files), synced=True)
    except OSError as error:
        raise StyleFaceVError(f"cannot write to {folder}: {error.strerror or error}") from error
    return [*paths.values(), snapshot, description]


def read_description(folder: Path) -> Description | None:
    """Read the `export.yaml` of a folder; None if there is none.

    Raises:
        IntegrityError: it is damaged.
    """
    path = folder / DESCRIPTION_NAME
    if not path.is_file():
        return None
    try:
        top = read_yaml(path)
        sections = {key: top.pop(key, None) for key in ("provenance", "files", "arguments")}
        plain = build(_PlainKeys, top, str(path))
        check_aliases(plain.aliases, str(path))
        provenance, files = sections["provenance"], sections["files"]
        if plain.format != _FORMAT or not 0 < plain.fps <= 240:
            raise UsageError(f"{path}: format {plain.format} or fps {plain.fps:g} is unknown")
        if not isinstance(provenance, dict) or not isinstance(files, dict):
            raise UsageError(f"{path}: a section is missing")
        hashes: dict[str, tuple[str, str]] = {}
        configs: dict[str, Any] = {}
        for network, record in files.items():
            if network not in NETWORK_NAMES or not isinstance(record, dict):
                raise UsageError(f"{path}: files: no such network: {str(network)[:40]!r}")
            name, sha256 = record.get("name"), str(record.get("sha256"))
            if name != EXPORT_NAMES[network] or not is_sha256(sha256):
                raise UsageError(f"{path}: files.{network} is malformed")
            hashes[network] = (EXPORT_NAMES[network], sha256)
            where = f"{path}: files.{network}.architecture"
            settings = record.get("architecture")
            if network == "appearance":
                settings = with_normalisation(settings, provenance)
            configs[network] = read_config(network, settings, where)
    except UsageError as error:
        raise IntegrityError(f"{error}; delete it, or export the model again") from error
    return Description(plain.fps, plain.licence, provenance, hashes, configs, plain.aliases)


def _stored(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path).load()


def _torch_bytes(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _description(manifest: Manifest, configs: Mapping[str, Any], files: Mapping[str, Any]) -> bytes:
    content = {
        "format": _FORMAT,
        "name": manifest.name,
        "fps": manifest.fps,
        "licence": manifest.licence,
        **({"aliases": list(manifest.aliases)} if manifest.aliases else {}),
        "provenance": dict(manifest.provenance),
        "arguments": {"generator": original_arguments(to_plain(configs["generator"]))},
        "files": dict(files),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


def original_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with which the original class of generators makes this one."""
    mapping = {theirs: settings[ours] for ours, theirs in _OF_MAPPING.items()}
    others = {key: value for key, value in settings.items() if key not in _OF_MAPPING}
    return {**others, "mapping_kwargs": mapping}
