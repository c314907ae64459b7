"""The folder of a model: shipped, imported and released ones by name, others by folder."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from stylefacev_cli.common.paths import home_folder, shipped_folder
from stylefacev_cli.errors import MissingWeightsError

DEFAULT_MODEL = "default-128"
MANIFEST_NAME = "bundle.yaml"
REPLACED_SUFFIX = ".replaced"  # of the folder `.NAME.replaced`, where a model waits to be replaced


def is_model_name(text: str) -> bool:
    """Whether a text can be the name of a model: letters, digits, dots and dashes."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None


def shipped_models() -> list[str]:
    """The names of the models that come with the package."""
    return _names_in(shipped_folder())


def models_folder() -> Path:
    """The folder of imported models.

    `$STYLEFACEV_HOME/models`, else `$XDG_DATA_HOME/stylefacev/models`, else
    `~/.local/share/stylefacev/models`.
    """
    home = home_folder()
    if home is not None:
        return home / "models"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "stylefacev" / "models"


def imported_models() -> list[str]:
    """The names of the models that were imported on this machine."""
    _restore_replaced(models_folder())
    return _names_in(models_folder())


def find_bundle(name_or_folder: str | Path, networks: Sequence[str] = ()) -> Path:
    """Find the folder of a model; a released one that is not here yet is fetched and imported.

    Args:
        name_or_folder: the name of a shipped, imported or released model, or a folder that holds
            `bundle.yaml`. Names of models that are here go first, shipped ones before all; write
            `./NAME` for a folder of that name.
        networks: that are needed; a released model without them is refused before it is fetched.

    Raises:
        MissingWeightsError: there is no such model, or it cannot be fetched, see `obtain_model`.
        IntegrityError: what was fetched is damaged.
    """
    text = str(name_or_folder)
    shipped = shipped_models()
    if text in shipped:
        return shipped_folder() / text
    imported = imported_models()
    if text in imported:
        return models_folder() / text
    names = sorted({*shipped, *imported})
    try:
        folder = Path(text).expanduser()
    except RuntimeError as error:
        raise MissingWeightsError(
            f"no such home folder: {text}; names are" + _known(names)
        ) from error
    if text and (folder / MANIFEST_NAME).is_file():
        return folder
    if is_model_name(text):
        from stylefacev_cli.weights.convert.released_models import obtain_model

        obtained = obtain_model(text, networks)
        if obtained is not None:
            return obtained
    if text and folder.is_dir():
        raise MissingWeightsError(
            f"the folder {text} is no model: it holds no {MANIFEST_NAME}; "
            "give the folder of a bundle, or a name" + _known(names)
        )
    if os.sep in text:
        raise MissingWeightsError(f"no such model folder: {text}; names are" + _known(names))
    from stylefacev_cli.weights.convert.released_models import released_models

    raise MissingWeightsError(
        f"unknown model '{text}': give the folder of a bundle, or a name{_known(names)}; "
        f"released ones, which are fetched, are {', '.join(released_models())}"
    )


def _names_in(folder: Path) -> list[str]:
    names = (path.parent.name for path in folder.glob(f"*/{MANIFEST_NAME}"))
    return sorted(name for name in names if is_model_name(name))


def _restore_replaced(folder: Path) -> None:
    """Restore models that a process left moved away, being killed between two renames."""
    for replaced in folder.glob(f".*{REPLACED_SUFFIX}"):
        name = replaced.name[1:].removesuffix(REPLACED_SUFFIX)
        if is_model_name(name) and not (folder / name).exists():
            with contextlib.suppress(OSError):  # someone else was faster, or we may not
                replaced.rename(folder / name)


def _known(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else " (none came with this installation)"
