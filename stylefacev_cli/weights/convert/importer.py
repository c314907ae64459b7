"""Files that were fetched by hand → a model bundle, made beside its place and renamed into it.

files, named or in an archive → checked → converted one after another → bundle
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.errors import (
    MissingWeightsError,
    StyleFaceVError,
    UsageError,
)
from stylefacev_cli.networks.stylefacev.normalisation import check_normalisation
from stylefacev_cli.weights.architectures import check_fit
from stylefacev_cli.weights.bundle import write_bundle
from stylefacev_cli.weights.convert.archive_files import files_of_archive
from stylefacev_cli.weights.convert.exporter import Description, read_description
from stylefacev_cli.weights.convert.released_files import load_matched, released_config
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
from stylefacev_cli.weights.untrusted.foreign_file import Checkpoint, read_checkpoint

NVIDIA_LICENCE = "NVIDIA Source Code License for StyleGAN3 (non-commercial)"
STYLEFACEV_LICENCE = f"CC-BY-NC-4.0; generator: {NVIDIA_LICENCE}"
_STALE_S = 86400.0  # a folder of an import that was killed is cleared away after a day


@dataclass(frozen=True)
class ImportWishes:
    """What is to be imported.

    Attributes:
        name: of the model to make.
        files: the file of each network; these go before those of `archive`.
        archive: the authors' zip, or a folder that holds such files, also below it.
        fps: frames per second of its motion; by default what an export says, else `PUBLISHED_FPS`.
        licence: of the weights; by default what an export says, else that of the publishers.
        normalisation: of the appearance network, `running` or `per_image`; by default what an
            export says, else `per_image`, as the authors train and sample.
        force: replace a model of that name.
        tool: what imports it, for the provenance.
    """

    name: str
    files: Mapping[str, Path] = field(default_factory=dict)
    archive: Path | None = None
    fps: float | None = None
    licence: str | None = None
    normalisation: str | None = None
    force: bool = False
    tool: str = "stylefacev"


@dataclass(frozen=True)
class Imported:
    """What has come of an import: the model, and what is to be told about it."""

    manifest: Manifest
    notes: tuple[str, ...]


def import_model(wishes: ImportWishes) -> Imported:
    """Make a model in `models_folder()`; whatever fails, a model that was there stays.

    Raises:
        UsageError: the wishes contradict each other, or the name is taken.
        MissingWeightsError: a file is not there, or there is no generator among them.
        IntegrityError: a file is damaged, or holds another network than it should.
        StyleFaceVError: the model cannot be written.
    """
    _check_wishes(wishes)
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StyleFaceVError(f"cannot write models to {folder}: {error.strerror}") from error
    _clear_stale(folder)
    with _scratch(folder, wishes.name) as scratch:
        files, notes = dict(wishes.files), tuple[str, ...]()
        if wishes.archive is not None:
            chosen = files_of_archive(wishes.archive, scratch / "unpacked", wishes.files)
            files, notes = {**chosen.files, **files}, chosen.notes
        if "generator" not in files:
            raise MissingWeightsError(
                "a model needs a generator: give its file as --generator (.pkl, .pt, .safetensors)"
            )
        notes += _convert(wishes, files, scratch / "bundle")
        _put_in_place(scratch / "bundle", folder / wishes.name, force=wishes.force)
    return Imported(read_manifest(folder / wishes.name), notes)


def _check_wishes(wishes: ImportWishes) -> None:
    if not is_model_name(wishes.name):
        raise UsageError(f"the name {wishes.name!r} is not made of letters, digits, dots, dashes")
    if not wishes.files and wishes.archive is None:
        raise UsageError("give the files of networks (--generator …), or an --archive with them")
    if wishes.fps is not None and not 0 < wishes.fps <= 240:
        raise UsageError(f"--fps {wishes.fps:g} is not from 0 to 240")
    if wishes.normalisation is not None:
        check_normalisation(wishes.normalisation, "--normalisation")
    if wishes.name in shipped_models():
        raise UsageError(f"{wishes.name} is a model of the package: give another name")
    if not wishes.force and (
        wishes.name in imported_models() or (models_folder() / wishes.name).exists()
    ):
        raise UsageError(f"there is a model {wishes.name} already: give --force to replace it")


def _convert(wishes: ImportWishes, files: Mapping[str, Path], folder: Path) -> tuple[str, ...]:
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
    if wishes.normalisation is not None:
        if "appearance" not in configs:
            raise UsageError("--normalisation is of an appearance network, but none is imported")
        configs["appearance"] = replace(configs["appearance"], normalisation=wishes.normalisation)
    check_fit(configs, "the files together")

    notes: dict[str, tuple[str, ...]] = {}
    export = _common_export(described)
    provenance = export.provenance if export else _provenance(wishes.tool, checkpoints)
    tensors = _LoadedInTurn(configs, checkpoints, notes)
    only_generator = networks == ["generator"]
    licence = NVIDIA_LICENCE if only_generator else STYLEFACEV_LICENCE
    write_bundle(
        folder,
        tensors,
        configs,
        name=wishes.name,
        fps=wishes.fps or (export.fps if export else PUBLISHED_FPS),
        licence=wishes.licence or (export.licence if export else licence),
        provenance=provenance,
        aliases=export.aliases if export and wishes.normalisation is None else (),
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
    """What an export tells of this very file, if it lies in one."""
    description = read_description(checkpoint.path.parent)
    if description is None or network not in description.configs:
        return None
    name, sha256 = description.files[network]
    return description if (name, sha256) == (checkpoint.path.name, checkpoint.sha256) else None


def _common_export(described: Mapping[str, Description | None]) -> Description | None:
    """The export that all of the files come from; None if they do not."""
    first = described["generator"]
    return first if all(one == first for one in described.values()) else None


def _provenance(tool: str, checkpoints: Mapping[str, Checkpoint]) -> dict[str, Any]:
    sources = {
        name: {"file": checkpoint.path.name, "sha256": checkpoint.sha256}
        for name, checkpoint in checkpoints.items()
    }
    return {"imported_by": tool, "from": sources}


@contextlib.contextmanager
def _scratch(folder: Path, name: str) -> Iterator[Path]:
    """A folder beside the models, for this import alone; nothing of it stays."""
    try:
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}.", suffix=".part"))
    except OSError as error:
        raise StyleFaceVError(f"cannot write models to {folder}: {error.strerror}") from error
    try:
        yield scratch
    except OSError as error:
        raise StyleFaceVError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _clear_stale(folder: Path) -> None:
    for leftover in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                shutil.rmtree(leftover)


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
    """Have the names in a folder on the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
