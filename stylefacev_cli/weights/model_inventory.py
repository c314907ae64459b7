"""Facts of the models and released weights on this machine, as plain values."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.listener import Listener
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, StyleFaceVError

if TYPE_CHECKING:
    from stylefacev_cli.weights.downloads.registry import Entry, WeightFile
    from stylefacev_cli.weights.manifest import Manifest


_NON_COMMERCIAL = "non-commercial"  # stands in the licences that `weights import` writes


def weight_facts(entry: Entry, *, details: bool = False) -> dict[str, Any]:
    """Name, role, state, size and licence of released weights; with details, all of the registry.

    Raises:
        IntegrityError: the index of the cache is damaged.
    """
    from stylefacev_cli.weights.downloads.cache import read_records, state_of

    records = read_records()
    states = [state_of(file, records) for file in entry.files]
    state = next((worst for worst in ("damaged", "missing") if worst in states), "present")
    sizes = [_bytes_of(file) for file in entry.files]
    facts: dict[str, Any] = {
        "name": entry.name,
        "kind": "weights",
        "role": entry.role,
        "state": state,
        "bytes": None if None in sizes else sum(size or 0 for size in sizes),
        "licence": entry.licence.name,
        "non_commercial": entry.licence.non_commercial,
    }
    if details:
        facts |= {"allows": entry.licence.allows, "use": entry.use}
        if entry.name in model_names():
            facts["model"] = str(model_folder(entry.name))
        facts["files"] = [
            _file_facts(file, state) for file, state in zip(entry.files, states, strict=True)
        ]
    return facts


def _file_facts(file: WeightFile, state: str) -> dict[str, Any]:
    from stylefacev_cli.weights.downloads.cache import path_of, read_records

    record = read_records().get(file.path)
    sha256 = file.sha256 or (record.sha256 if record else None)
    kind = "published" if file.sha256 else "trusted on first use" if record else None
    return {
        "path": str(path_of(file)),
        "state": state,
        "bytes": _bytes_of(file),
        "sha256": sha256,
        "sha256_is": kind,
        "sources": [
            source.address + (f" member {source.member}" if source.member else "")
            for source in file.sources
        ],
    }


def _bytes_of(file: WeightFile) -> int | None:
    """The size of a file as published, else as it is here, else about."""
    from stylefacev_cli.weights.downloads.cache import path_of

    if file.bytes is not None:
        return file.bytes
    if path_of(file).is_file():
        return path_of(file).stat().st_size
    return None if file.about_mb is None else round(file.about_mb * 1e6)


def model_names() -> list[str]:
    """The names of the models that came with the package or were imported; shipped ones first."""
    from stylefacev_cli.weights.locate import imported_models, shipped_models

    return list(dict.fromkeys([*shipped_models(), *imported_models()]))


def remove_model(folder: Path) -> None:
    """Delete an imported model; its manifest goes first, so that no broken model is left.

    Raises:
        StyleFaceVError: it cannot be deleted.
    """
    from stylefacev_cli.weights.locate import MANIFEST_NAME

    try:
        (folder / MANIFEST_NAME).unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise StyleFaceVError(f"cannot delete {folder}: {error.strerror}") from error


def model_facts(folder: Path) -> dict[str, Any]:
    """What is known of a model; its hashes are compared, which takes little time."""
    from stylefacev_cli.weights.manifest import read_manifest, verify_files

    facts: dict[str, Any] = {"name": folder.name, "kind": "model", "role": "model"}
    try:
        manifest = read_manifest(folder, any_kind=True)
    except (IntegrityError, MissingWeightsError) as error:
        damaged = {"state": "damaged", "bytes": None, "licence": "?", "non_commercial": False}
        return facts | damaged | {"path": str(folder), "files": [], "reason": str(error)}
    state = "present"
    try:
        verify_files(manifest)
    except (IntegrityError, MissingWeightsError):
        state = "damaged"
    what = "model" if manifest.is_own else f"{manifest.kind} model"
    return facts | {
        "role": f"{what}: {manifest.resolution} px, {fps_text(manifest)}",
        "model_kind": manifest.kind,
        "state": state,
        "bytes": sum(record.bytes for record in manifest.files.values()),
        "licence": manifest.licence,
        "non_commercial": _NON_COMMERCIAL in manifest.licence,
        "lacks": list(manifest.missing),
        "normalisation": manifest.normalisation,
        "path": str(folder),
        "files": [
            {"path": name, "bytes": record.bytes, "sha256": record.sha256}
            for name, record in manifest.files.items()
        ],
    }


def fps_text(manifest: Manifest) -> str:
    """The frame rate of a model, and whether it is but that of its authors' video writer."""
    of_writer = " (only the rate of the authors' video writer)"
    return f"{manifest.fps:g} fps{of_writer if manifest.fps_is_only_written else ''}"


def verified_file(name: str, file: WeightFile, listener: Listener) -> dict[str, Any]:
    """Name, path and state of one file of an entry, read again; the listener receives faults."""
    from stylefacev_cli.weights.downloads.cache import check, path_of

    path = path_of(file)
    row = {"name": name, "path": str(path)}
    if not path.is_file():
        return row | {"state": "missing"}
    try:
        if check(file, path):
            listener.note(f"{path}: no hash of it is published; it is kept from now on")
    except IntegrityError as error:
        listener.note(str(error))
        return row | {"state": "damaged"}
    return row | {"state": "present"}


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Check the rows of verified files and models.

    Raises:
        IntegrityError: one of them is damaged.
        MissingWeightsError: one of them is missing.
    """
    for state, kind in (("damaged", IntegrityError), ("missing", MissingWeightsError)):
        bad = [row["path"] for row in rows if row["state"] == state]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise kind(
                f"{state}: {bad[0]}{more}; `stylefacev weights remove` and `download` fetch it anew"
            )


def summed_rows(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Name, state and path of verified files; of an entry of many only damaged ones singly."""
    from stylefacev_cli.weights.downloads.cache import folder_of
    from stylefacev_cli.weights.downloads.fetch import MANY_FILES
    from stylefacev_cli.weights.downloads.registry import read_registry

    entries = {name: e for name, e in read_registry().items() if len(e.files) > MANY_FILES}
    counts = Counter((row["name"], row["state"]) for row in rows)
    summed: list[tuple[str, str, str]] = []
    for row in rows:
        name, state, path = row["name"], row["state"], row["path"]
        if name in entries and state != "damaged":
            entry, count = entries[name], counts.pop((name, state), 0)
            if not count:  # they have their row
                continue
            path = f"{folder_of(entry)} ({count} of {len(entry.files)} files)"
        summed.append((name, state, path))
    return summed


def verified_model(name: str, folder: Path, listener: Listener) -> dict[str, Any]:
    """Name, path and state of a model, read again; the listener receives faults."""
    from stylefacev_cli.weights.manifest import read_manifest, verify_files

    row = {"name": name, "path": str(folder)}
    try:
        verify_files(read_manifest(folder, any_kind=True))
    except StyleFaceVError as error:
        listener.note(str(error))
        return row | {"state": "damaged"}
    return row | {"state": "present"}


def folder_of_many(name: str, paths: list[Path]) -> list[Path]:
    """The paths of an entry's files; of very many files their common folder instead."""
    from stylefacev_cli.weights.downloads.cache import folder_of
    from stylefacev_cli.weights.downloads.fetch import MANY_FILES
    from stylefacev_cli.weights.downloads.registry import read_registry

    if len(paths) <= MANY_FILES:
        return paths
    return [folder_of(read_registry()[name])]


def model_folder(name: str) -> Path:
    """The folder of a model.

    Raises:
        MissingWeightsError: there is no such name; the message lists all.
    """
    from stylefacev_cli.weights.downloads.registry import read_registry
    from stylefacev_cli.weights.locate import find_bundle

    try:
        return find_bundle(name)
    except MissingWeightsError as error:
        raise MissingWeightsError(f"{error}; weights are {', '.join(read_registry())}") from error
