"""Names of the registry → models: what is missing is fetched, imported, and kept under the name.

    stylefacev-256 → six files in the cache → models_folder()/stylefacev-256

Whatever ends a run, the next one goes on from there: with the rest of a file, with the files that
are not there yet, or with the import. Files that were placed by hand are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stylefacev_cli.common.files import locked
from stylefacev_cli.errors import MissingWeightsError, UsageError
from stylefacev_cli.weights.convert.file_names import network_of_file
from stylefacev_cli.weights.downloads.fetch import check_consent, fetch_entry
from stylefacev_cli.weights.downloads.fetch_options import Options
from stylefacev_cli.weights.downloads.interaction import interaction
from stylefacev_cli.weights.downloads.registry import Entry, read_registry
from stylefacev_cli.weights.locate import imported_models, models_folder
from stylefacev_cli.weights.manifest import NETWORK_NAMES, cannot_make_videos
from stylefacev_cli.weights.requests import ImportRequest, NetworkFiles


def released_models() -> list[str]:
    """The names of the registry that become models: there is a generator among their files."""
    return [name for name, entry in read_registry().items() if "generator" in _networks(entry)]


def obtain_model(name: str, networks: Sequence[str] = ()) -> Path | None:
    """The folder of the model that an entry of the registry becomes.

    Args:
        name: of the entry.
        networks: that are needed; an entry without them is refused before anything is fetched.

    Returns:
        None where the registry has no such name.

    Raises:
        MissingWeightsError: the entry lacks networks, its licence was not accepted, or a file is
            not there and cannot be fetched.
        IntegrityError: a file is damaged, or holds another network than it should.
        StyleFaceVError: the cache or the model cannot be written.
    """
    entry = read_registry().get(name)
    if entry is None:
        return None
    there = _networks(entry)
    if "generator" not in there:
        raise MissingWeightsError(f"{name} is not a whole model ({entry.role}): {entry.use}")
    lacks = [network for network in networks if network not in there]
    if lacks:
        raise MissingWeightsError(cannot_make_videos(name, lacks))

    def on_wait() -> None:
        with interaction().listening() as listener:
            listener.note(f"another run is getting {name}: waiting for it")

    with locked(models_folder() / f".{name}.lock", on_wait):
        if name not in imported_models():
            _import(entry, there, _fetch(entry))
    return models_folder() / name


def _networks(entry: Entry) -> dict[str, int]:
    """The networks that the files of an entry hold, in the usual order; and which file each is."""
    places = {network_of_file(file.name): place for place, file in enumerate(entry.files)}
    return {network: places[network] for network in NETWORK_NAMES if network in places}


def _fetch(entry: Entry) -> list[Path]:
    """The files of an entry; those that are missing are downloaded."""
    options = Options()
    try:
        check_consent(entry, options)
    except UsageError as error:  # here the model is what is missing, and not an option wrong
        raise MissingWeightsError(str(error)) from error
    with interaction().listening() as listener:
        return fetch_entry(entry, options, listener)


def _import(entry: Entry, networks: dict[str, int], paths: Sequence[Path]) -> None:
    """Make a model of the files of an entry."""
    with interaction().listening() as listener:  # signals that are held go by it, too
        with interaction().importing():
            from stylefacev_cli.weights.convert.importer import import_model

        request = ImportRequest(
            name=entry.name,
            files=NetworkFiles(**{network: paths[place] for network, place in networks.items()}),
            force=True,  # what may be left there of a model that was being deleted
        )
        listener.note(f"importing {entry.name}: from now on it is a model of that name")
        imported = import_model(request)
        for note in imported.notes:
            listener.note(note)
        listener.note(f"{entry.name}: licence {imported.manifest.licence}")
