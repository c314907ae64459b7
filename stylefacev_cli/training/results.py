"""What stages leave for those after them: networks read from their newest or best saves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.generator import Generator, GeneratorConfig
from stylefacev_cli.networks.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.training.best import BEST_NAME
from stylefacev_cli.training.checkpoint import CheckpointStore, read_checkpoint
from stylefacev_cli.weights.bundle import Networks, load_bundle, needed, save_bundle
from stylefacev_cli.weights.settings import build

NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class Saved:
    """Where the networks of earlier stages are.

    Attributes:
        run: folder of the training run.
        use: `newest` or `best`: which save of a stage; a stage that keeps no best one (it has no
            validation, or nobody is held out) gives its newest.
        start_from: a model that stands in for the stages `generator` and `detector` while the run
            has none of its own.
    """

    run: Path
    use: str = "newest"
    start_from: str | None = None


def save_of(saved: Saved, stage: str) -> dict[str, Any] | None:
    """The save of a stage that later ones take, whole; None if it has none.

    Raises:
        IntegrityError: it is damaged.
    """
    folder = saved.run / stage / "checkpoints"
    best = folder / BEST_NAME
    if saved.use == "best" and best.exists():
        return read_checkpoint(best)
    return CheckpointStore(folder).load_newest()


def state_of(saved: Saved, stages: tuple[str, ...]) -> tuple[str, dict[str, Any]] | None:
    """The state of the first of the stages that has one, with the stage's name."""
    for stage in stages:
        save = save_of(saved, stage)
        if save is not None:
            return stage, save["stage"]
    return None


def load_network(
    saved: Saved,
    stages: tuple[str, ...],
    architecture: str,
    config_type: type[Any],
    network_type: type[NetworkT],
    key: str | None = None,
) -> NetworkT:
    """A trained network, frozen and in evaluation mode.

    Args:
        saved: where they are.
        stages: where to look, best first.
        architecture: the name of its architecture in the save.
        config_type: its config dataclass.
        network_type: its class.
        key: the name of its weights in the save, if another one.

    Raises:
        DataError: none of the stages has been trained yet.
    """
    found = state_of(saved, stages)
    if found is None:
        raise DataError(
            f"{saved.run} has no trained {stages[-1]} yet: `stylefacev train {stages[-1]}`"
        )
    stage, state = found
    config = build(config_type, state["architecture"][architecture], f"{stage}.{architecture}")
    network = network_type(config)
    network.load_state_dict(state["networks"][key or architecture], strict=True)
    return network.eval().requires_grad_(False)


def load_generator(saved: Saved) -> Generator:
    """The averaged generator of the last generator stage, or that of the model to start from.

    Raises:
        DataError: there is none yet.
        MissingWeightsError: there is no such model.
        IntegrityError: the model is damaged.
    """
    stages = ("finish", "generator")
    if saved.start_from is not None and state_of(saved, stages) is None:
        return load_bundle(saved.start_from).networks.generator.eval().requires_grad_(False)
    return load_network(saved, stages, "generator", GeneratorConfig, Generator, key="ema")


def load_detector(saved: Saved, *, fixed: bool = False) -> LandmarkDetector:
    """The landmark detector: as the joint stage left it, or the `fixed` one that gave targets.

    Raises:
        DataError: there is none yet.
        MissingWeightsError: nor has the model to start from any.
        IntegrityError: that model is damaged.
    """
    stages = ("detector",) if fixed else ("joint", "detector")
    if saved.start_from is not None and state_of(saved, stages) is None:
        networks = load_bundle(saved.start_from).networks
        detector = networks.detector if networks.detector is not None else networks.landmarks
        return needed(detector, "detector").eval().requires_grad_(False)
    return load_network(saved, stages, "landmarks", LandmarkDetectorConfig, LandmarkDetector)


def load_pose_extractor(saved: Saved, *, joint: bool = True) -> PoseExtractor:
    """The pose extractor, of the joint stage if that is wanted and there."""
    stages = ("joint", "pose") if joint else ("pose",)
    return load_network(saved, stages, "pose", PoseExtractorConfig, PoseExtractor)


def load_appearance(saved: Saved, *, joint: bool = True) -> AppearanceRecomposer:
    """The appearance network, of the joint stage if that is wanted and there."""
    stages = ("joint", "appearance") if joint else ("appearance",)
    return load_network(saved, stages, "appearance", AppearanceConfig, AppearanceRecomposer)


def load_motion(saved: Saved) -> MotionSampler:
    """The motion sampler."""
    return load_network(saved, ("motion",), "motion", MotionSamplerConfig, MotionSampler)


def write_bundle(
    saved: Saved, name: str, fps: float, licence: str, provenance: dict[str, Any]
) -> Path:
    """Put the networks of a run together as a model bundle in `run/bundle`.

    Raises:
        DataError: a stage has not been trained yet.
    """
    networks = Networks(
        generator=load_generator(saved),
        landmarks=load_detector(saved),
        pose=load_pose_extractor(saved),
        appearance=load_appearance(saved),
        motion=load_motion(saved),
    )
    steps = {stage.name: _steps(stage) for stage in sorted(saved.run.iterdir()) if _steps(stage)}
    folder = saved.run / "bundle"
    save_bundle(
        folder,
        networks,
        name=name,
        fps=fps,
        licence=licence,
        provenance=provenance | {"steps": steps},
    )
    return folder


def _steps(stage: Path) -> int:
    names = [path.stem for path in CheckpointStore(stage / "checkpoints").paths()]
    return int(names[-1].split("-")[1]) if names else 0
