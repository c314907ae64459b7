"""Where a model is: a shipped one by its name, any other by its folder."""

from __future__ import annotations

import os
from pathlib import Path

from stylefacev_cli.errors import MissingWeightsError

DEFAULT_MODEL = "default-64"
MANIFEST_NAME = "bundle.yaml"


def shipped_folder() -> Path:
    """The folder of the models that come with the package: in the wheel, or in the repository."""
    package = Path(__file__).resolve().parent.parent
    in_wheel = package / "shipped"
    return in_wheel if in_wheel.is_dir() else package.parent / "weights"


def shipped_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in shipped_folder().glob(f"*/{MANIFEST_NAME}"))


def find_bundle(name_or_folder: str | Path) -> Path:
    """Find the folder of a model.

    Args:
        name_or_folder: the name of a shipped model, or a folder that holds `bundle.yaml`. A shipped
            name goes first; write `./NAME` for a folder of that name.

    Raises:
        MissingWeightsError: there is no such model.
    """
    text = str(name_or_folder)
    names = shipped_models()
    if text in names:
        return shipped_folder() / text
    folder = Path(text).expanduser()
    if text and folder.is_dir():
        if (folder / MANIFEST_NAME).is_file():
            return folder
        raise MissingWeightsError(
            f"the folder {text} is no model: it holds no {MANIFEST_NAME}; "
            "give the folder of a bundle, or a name" + _known(names)
        )
    if os.sep in text:
        raise MissingWeightsError(f"no such model folder: {text}; names are" + _known(names))
    raise MissingWeightsError(
        f"unknown model '{text}': give the folder of a bundle, or a name" + _known(names)
    )


def _known(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else " (none came with this installation)"
