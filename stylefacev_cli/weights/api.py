"""`sf.weights`: what `stylefacev weights` does, as functions that return what they find or make.

    sf.weights.download("vgg16")                       → [path]
    sf.weights.import_model("mine", generator="stylegan3-r-ffhqu-256").manifest.folder

Each function of a request takes that request, or its options by name, see `requests.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.options import with_keywords
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import MissingWeightsError
from stylefacev_cli.weights import model_inventory
from stylefacev_cli.weights.downloads.interaction import (
    CallFromPython,
    TransferListener,
    as_transfers,
    interacting,
    interaction,
)
from stylefacev_cli.weights.requests import (
    DownloadRequest,
    ExportRequest,
    ImportRequest,
    NamedRequest,
    RemoveRequest,
    VerifyRequest,
)

if TYPE_CHECKING:
    from stylefacev_cli.weights.convert.importer import Imported

Facts = dict[str, Any]
"""What is known of a model or of weights; plain values, as JSON holds them."""


def list_models() -> list[Facts]:
    """The facts of every model that has a name: shipped ones first, then imported ones.

    Raises:
        UsageError: `$STYLEFACEV_HOME` names no folder.
    """
    return [
        model_inventory.model_facts(model_inventory.model_folder(name))
        for name in model_inventory.model_names()
    ]


def list_entries() -> list[Facts]:
    """The facts of all released weights, whether they are here or not.

    Raises:
        IntegrityError: the index of downloads is damaged.
    """
    from stylefacev_cli.weights.downloads.registry import read_registry

    return [model_inventory.weight_facts(entry) for entry in read_registry().values()]


@with_keywords(NamedRequest)
def show(request: NamedRequest) -> Facts:
    """All that is known of a model or of released weights: files, hashes, sources, licence.

    Raises:
        MissingWeightsError: there is no such name; the message lists all.
    """
    from stylefacev_cli.weights.downloads.registry import read_registry

    entry = read_registry().get(request.name)
    if entry is None:
        return model_inventory.model_facts(model_inventory.model_folder(request.name))
    return model_inventory.weight_facts(entry, details=True)


@with_keywords(NamedRequest)
def paths(request: NamedRequest) -> list[Path]:
    """The files of downloaded weights, or the folder of a model.

    Raises:
        MissingWeightsError: they are not here; the message says how to get them.
    """
    from stylefacev_cli.weights.downloads.cache import path_of
    from stylefacev_cli.weights.downloads.fetch import by_hand
    from stylefacev_cli.weights.downloads.registry import read_registry

    name = request.name
    entry = read_registry().get(name)
    missing = [file for file in entry.files if not path_of(file).is_file()] if entry else []
    if entry is None or (missing and name in model_inventory.model_names()):
        return [model_inventory.model_folder(name)]
    if missing:
        raise MissingWeightsError(
            f"{missing[0].name} is not there: run `stylefacev weights download {name}`, "
            f"or {by_hand(missing[0])}"
        )
    return [path_of(file) for file in entry.files]


@with_keywords(VerifyRequest)
def verify(request: VerifyRequest, listener: Listener | None = None) -> list[Facts]:
    """Read files again and compare their SHA-256.

    Args:
        request: what is read.
        listener: receives what is wrong with a file.

    Returns:
        `name`, `path` and `state` (present, missing or damaged) of each; files that are not here
        are left out unless they were asked for. `model_inventory.check_rows` raises for bad ones.

    Raises:
        MissingWeightsError: there is no such name.
    """
    from stylefacev_cli.weights.downloads.registry import read_registry

    listener = listener or LogListener()
    name, registry, models = request.name, read_registry(), model_inventory.model_names()
    rows: list[Facts] = []
    for each in [name] if name is not None else list(dict.fromkeys([*models, *registry])):
        if each in models or each not in registry:
            folder = model_inventory.model_folder(each)
            rows.append(model_inventory.verified_model(each, folder, listener))
        if each in registry:
            rows += [
                model_inventory.verified_file(each, file, listener) for file in registry[each].files
            ]
    if name is None or name in models:
        rows = [row for row in rows if row["state"] != "missing"]
    return rows


@with_keywords(RemoveRequest)
def remove(request: RemoveRequest) -> list[Path]:
    """Delete downloaded weights or an imported model; both, where they have one name.

    Returns:
        What was there: files of weights, the folder of a model.

    Raises:
        MissingWeightsError: there is no such name, or a file cannot be deleted.
        StyleFaceVError: another run is fetching them.
    """
    from stylefacev_cli.weights.downloads import cache
    from stylefacev_cli.weights.downloads.fetch import remove_archives
    from stylefacev_cli.weights.downloads.registry import find_entry, read_registry
    from stylefacev_cli.weights.locate import imported_models, models_folder

    removed: list[Path] = []
    if request.name in imported_models():
        removed.append(models_folder() / request.name)
        model_inventory.remove_model(removed[0])
    if not removed or request.name in read_registry():
        entry = find_entry(request.name)
        removed += cache.remove(entry, forget=request.forget)
        remove_archives(entry)
    return removed


@with_keywords(DownloadRequest)
def download(
    request: DownloadRequest, listener: Listener | None = None, accept_licence: bool = False
) -> list[Path]:
    """Fetch released weights and check their SHA-256.

    Args:
        request: which ones, and how patiently.
        listener: receives the progress; by default the terminal or the log.
        accept_licence: of the weights, where it has to be.

    Returns:
        Where the files are.

    Raises:
        UsageError: a licence was not accepted.
        MissingWeightsError: there is no such name, or a file cannot be fetched.
        IntegrityError: a file is another one than was published.
    """
    from stylefacev_cli.weights.downloads.fetch import check_consent, fetch_entry
    from stylefacev_cli.weights.downloads.fetch_options import Options
    from stylefacev_cli.weights.downloads.registry import find_entry

    options = Options(
        mirror=request.mirror or None, retries=request.retries, stall_timeout_s=request.stall_s
    )
    entries = [find_entry(name) for name in dict.fromkeys(request.names)]
    with contextlib.ExitStack() as stack:
        if accept_licence:
            stack.enter_context(interacting(CallFromPython(accept_licence=True)))
        for entry in entries:
            check_consent(entry, options)
        transfers = stack.enter_context(_transfers_of(listener))
        return [path for entry in entries for path in fetch_entry(entry, options, transfers)]


@contextlib.contextmanager
def _transfers_of(listener: Listener | None) -> Iterator[TransferListener]:
    """The listener of downloads: the given one, else that of the current interaction."""
    with interaction().listening() if listener is None else as_transfers(listener) as transfers:
        yield transfers


@with_keywords(ImportRequest)
def import_model(request: ImportRequest) -> Imported:
    """Make a model of files that were fetched by hand; no code in them is run.

    Returns:
        The manifest of the model, and notes on what was chosen or left out.

    Raises:
        UsageError: the request contradicts itself, or the name is taken.
        MissingWeightsError: a file is not there, or there is no generator among them.
        IntegrityError: a file is damaged, or holds another network than it should.
        StyleFaceVError: the model cannot be written.
    """
    with holding_signals():
        from stylefacev_cli.weights.convert import importer

    return importer.import_model(request)


@with_keywords(ExportRequest)
def export_model(request: ExportRequest) -> list[Path]:
    """Write a model as files under the original names, for the original code.

    Returns:
        The paths written; `export.yaml` is the last.

    Raises:
        MissingWeightsError: there is no such model.
        IntegrityError: it is damaged.
        UsageError: a file is there already.
        StyleFaceVError: the folder cannot be written.
    """
    with holding_signals():
        from stylefacev_cli.weights.convert import exporter

    return exporter.export_model(request.name, request.to, force=request.force)
