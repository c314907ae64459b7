"""The landmark detector that measures faces, chosen by the model it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector

DETECTOR_HELP = "Model whose landmark detector finds the key points."


@dataclass(frozen=True)
class ChosenDetector:
    """A detector, and what reports say of it.

    Attributes:
        network: images [N, 3, S, S] in [0, 1] → heatmaps of 98 landmarks.
        name: of its model, with the beginning of that one's hash.
        sha256: of the file of its weights.
    """

    network: LandmarkDetector
    name: str
    sha256: str


def choose_detector(model: str) -> ChosenDetector:
    """The landmark detector of a model, the fixed one where it keeps two.

    Raises:
        UsageError: the model has none.
        MissingWeightsError: there is no such model.
        IntegrityError: it is damaged.
    """
    from stylefacev_cli.weights.bundle import load_bundle

    bundle = load_bundle(model)
    network = bundle.networks.landmark_detector
    if network is None:
        raise UsageError(f"--detector {model}: this model has no landmark detector")
    manifest = bundle.manifest
    return ChosenDetector(
        network,
        f"{manifest.name} {manifest.sha256[:12]}",
        manifest.files[bundle.networks.landmark_detector_name].sha256,
    )
