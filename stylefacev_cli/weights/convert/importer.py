"""Files that were fetched by hand → a model bundle, made beside its place and renamed into it.

files, named or in an archive → checked → converted one after another → bundle
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.files import part_beside, remove_orphans
from stylefacev_cli.errors import (
    MissingWeightsError,
    StyleFaceVError,
    UsageError,
)
from stylefacev_cli.networks.stylefacev.normalisation import check_normalisation
from stylefacev_cli.version import __version__
from stylefacev_cli.weights.architectures import check_fit
from stylefacev_cli.weights.bundle import write_bundle
from stylefacev_cli.weights.convert.archive_files import files_of_archive
from stylefacev_cli.weights.convert.exporter import Description, read_description
from stylefacev_cli.weights.convert.file_names import network_of_file
from stylefacev_cli.weights.convert.other_kinds import convert_other_kind
from stylefacev_cli.weights.convert.released_files import load_matched, released_config
from stylefacev_cli.weights.downloads.cache import path_of
from stylefacev_cli.weights.downloads.registry import read_registry
from stylefacev_cli.weights.kinds import OWN_KIND
from stylefacev_cli.weights.locate import (
    REPLACED_SUFFIX,
    imported_models,
    is_model_name,
    models_folder,
    shipped_models,
)
from stylefacev_cli.weights.manifest import (
    NETWORK_NAMES,
    PUBLISHED_FPS,
    Manifest,
    read_manifest,
)
from stylefacev_cli.weights.requests import ImportRequest
from stylefacev_cli.weights.untrusted.foreign_file import Checkpoint, read_checkpoint

NVIDIA_LICENCE = "NVIDIA Source Code License for StyleGAN3 (non-commercial)"
STYLEFACEV_LICENCE = f"CC-BY-NC-4.0; generator: {NVIDIA_LICENCE}"


@dataclass(frozen=True)
class Imported:
    """An imported model, and notes on what was chosen or left out."""

    manifest: Manifest
    notes: tuple[str, ...]


def import_model(request: ImportRequest) -> Imported:
    """Make a model in `models_folder()`; whatever fails, a model that was there stays.

    Raises:
        UsageError: the request contradicts itself, or the name is taken.
        MissingWeightsError: a file is not there, or there is no generator among them.
        IntegrityError: a file is damaged, or holds another network than it should.
        StyleFaceVError: the model cannot be written.
    """
    _check_request(request)
    named = {network: located(path, network) for network, path in request.files.given().items()}
    archive = None if request.archive is None else located(request.archive)
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StyleFaceVError(f"cannot write models to {folder}: {error.strerror}") from error
    remove_orphans(folder)
    with _scratch(folder, request.name) as scratch:
        if request.kind == OWN_KIND:
            notes = _convert_own(request, named, archive, scratch)
        else:
            pca = None if request.pca is None else located(request.pca)
            notes = convert_other_kind(request, named, pca, scratch / "bundle")
        _put_in_place(scratch / "bundle", folder / request.name, force=request.force)
    return Imported(read_manifest(folder / request.name, any_kind=True), notes)


def _convert_own(
    request: ImportRequest, named: Mapping[str, Path], archive: Path | None, scratch: Path
) -> tuple[str, ...]:
    """Write a bundle of StyleFaceV's own networks, from named files and those of an archive."""
    if request.pca is not None:
        raise UsageError("--pca is of --kind mocogan-hd: leave it out")
    files, notes = dict(named), tuple[str, ...]()
    if archive is not None:
        chosen = files_of_archive(archive, scratch / "unpacked", named)
        files, notes = {**chosen.files, **named}, chosen.notes
    if "generator" not in files:
        raise MissingWeightsError(
            "a model needs a generator: give its file as --generator (.pkl, .pt, .safetensors)"
        )
    return notes + _convert(request, files, scratch / "bundle")


def located(path: Path, network: str | None = None) -> Path:
    """The path itself, or where downloaded weights of that name are.

    Args:
        path: of a file or folder, or a name of the registry.
        network: whose file is meant of weights with many files; None: their folder.

    Raises:
        MissingWeightsError: they are not downloaded yet.
    """
    entry = None if path.exists() else read_registry().get(str(path))
    if entry is None:
        return path
    chosen = [file for file in entry.files if network in (None, network_of_file(file.name))]
    files = [path_of(file) for file in chosen or entry.files]
    if not all(file.is_file() for file in files):
        raise MissingWeightsError(
            f"{path} is not there: run `stylefacev weights download {path}` first"
        )
    return files[0] if len(files) == 1 else files[0].parent


def _check_request(request: ImportRequest) -> None:
    if not is_model_name(request.name):
        raise UsageError(f"the name {request.name!r} is not made of letters, digits, dots, dashes")
    if not request.files.given() and request.archive is None:
        raise UsageError("give the files of networks (--generator …), or an --archive with them")
    if request.fps is not None and not 0 < request.fps <= 240:
        raise UsageError(f"--fps {request.fps:g} is not from 0 to 240")
    if request.normalisation is not None:
        check_normalisation(request.normalisation, "--normalisation")
    if request.name in shipped_models():
        raise UsageError(f"{request.name} is a model of the package: give another name")
    if not request.force and (
        request.name in imported_models() or (models_folder() / request.name).exists()
    ):
        raise UsageError(f"there is a model {request.name} already: give --force to replace it")


def _convert(request: ImportRequest, files: Mapping[str, Path], folder: Path) -> tuple[str, ...]:
    """Read all files' descriptions, check that they fit, then write network after network."""
    networks = [name for name in NETWORK_NAMES if name in files]
    checkpoints = {name: read_checkpoint(files[name]) for name in networks}
    described = {name: _described(name, checkpoints[name]) for name in networks}
    configs: dict[str, Any] = {}
    for name in networks:
        own = described[name]
        configs[name] = (
            own.configs[name]
            if own is not None
            else released_config(name, checkpoints[name], configs.get("generator"))
        )
    if request.normalisation is not None:
        if "appearance" not in configs:
            raise UsageError("--normalisation is of an appearance network, but none is imported")
        configs["appearance"] = replace(configs["appearance"], normalisation=request.normalisation)
    check_fit(configs, "the files together")

    notes: dict[str, tuple[str, ...]] = {}
    export = _common_export(described)
    provenance = export.provenance if export else _provenance(checkpoints)
    tensors = _LoadedInTurn(configs, checkpoints, notes)
    only_generator = networks == ["generator"]
    licence = NVIDIA_LICENCE if only_generator else STYLEFACEV_LICENCE
    write_bundle(
        folder,
        tensors,
        configs,
        name=request.name,
        fps=request.fps or (export.fps if export else PUBLISHED_FPS),
        licence=request.licence or (export.licence if export else licence),
        provenance=provenance,
        aliases=export.aliases if export and request.normalisation is None else (),
    )
    return tuple(f"{name}: {note}" for name in networks for note in notes[name])


class _LoadedInTurn(Mapping[str, Mapping[str, torch.Tensor]]):
    """State dicts that are loaded when they are asked for: one network in memory at a time."""

    def __init__(
        self,
        configs: Mapping[str, Any],
        checkpoints: dict[str, Checkpoint],
        notes: dict[str, tuple[str, ...]],
    ) -> None:
        self.configs, self.checkpoints, self.notes = configs, checkpoints, notes

    def __getitem__(self, name: str) -> Mapping[str, torch.Tensor]:
        checkpoint = self.checkpoints.pop(name)  # with the bytes that it may hold
        tensors, notes = load_matched(name, self.configs[name], checkpoint)
        self.notes[name] = (*checkpoint.notes, *notes)
        return tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.configs)

    def __len__(self) -> int:
        return len(self.configs)


def _described(network: str, checkpoint: Checkpoint) -> Description | None:
    """The description of an export that holds exactly this file; None if there is none."""
    description = read_description(checkpoint.path.parent)
    if description is None or network not in description.configs:
        return None
    name, sha256 = description.files[network]
    return description if (name, sha256) == (checkpoint.path.name, checkpoint.sha256) else None


def _common_export(described: Mapping[str, Description | None]) -> Description | None:
    """The export that all of the files come from; None if they do not."""
    first = described["generator"]
    return first if all(one == first for one in described.values()) else None


def _provenance(checkpoints: Mapping[str, Checkpoint]) -> dict[str, Any]:
    sources = {
        name: {"file": checkpoint.path.name, "sha256": checkpoint.sha256}
        for name, checkpoint in checkpoints.items()
    }
    return {"imported_by": f"stylefacev {__version__}", "from": sources}


@contextlib.contextmanager
def _scratch(folder: Path, name: str) -> Iterator[Path]:
    """A folder beside the models, for this import alone; nothing of it stays."""
    scratch = part_beside(folder / name)
    try:
        scratch.mkdir()
    except OSError as error:
        raise StyleFaceVError(f"cannot write models to {folder}: {error.strerror}") from error
    try:
        yield scratch
    except OSError as error:
        raise StyleFaceVError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(bundle: Path, target: Path, *, force: bool) -> None:
    """Rename a whole bundle into its place; `locate` puts the old one back if we die in between."""
    _sync(bundle)
    waiting = target.with_name(f".{target.name}{REPLACED_SUFFIX}")
    if force and target.exists():
        if waiting.exists():
            shutil.rmtree(waiting)
        target.rename(waiting)
    try:
        bundle.rename(target)  # onto a model that has come meanwhile: refused by the system
    except OSError:
        if waiting.exists() and not target.exists():
            waiting.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(waiting, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
