"""The landmark detector that measures faces, as several commands of `stylefacev eval` take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector

DetectorOption = Annotated[
    str, typer.Option("--detector", help="Model whose landmark detector finds the key points.")
]


@dataclass(frozen=True)
class ChosenDetector:
    """A detector, and what is said of it in reports."""

    network: LandmarkDetector
    name: str  # of its model, with the beginning of that one's hash
    sha256: str  # of the file of its weights


def choose_detector(model: str) -> ChosenDetector:
    """The landmark detector of a model, the fixed one where it keeps two.

    Raises:
        UsageError: the model has none.
        MissingWeightsError: there is no such model.
        IntegrityError: it is damaged.
    """
    from stylefacev_cli.weights.bundle import load_bundle

    bundle = load_bundle(model)
    finder = bundle.networks.landmark_detector
    if finder is None:
        raise UsageError(f"--detector {model}: this model has no landmark detector")
    manifest = bundle.manifest
    return ChosenDetector(
        finder,
        f"{manifest.name} {manifest.sha256[:12]}",
        manifest.files[bundle.networks.landmark_detector_name].sha256,
    )
