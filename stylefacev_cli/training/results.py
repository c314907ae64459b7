"""What stages leave for those after them: networks read from their newest saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.generator import Generator, GeneratorConfig
from stylefacev_cli.networks.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.training.checkpoint import CheckpointStore
from stylefacev_cli.weights.bundle import Networks, load_bundle, save_bundle
from stylefacev_cli.weights.settings import build

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def newest_state(run: Path, stages: tuple[str, ...]) -> tuple[str, dict[str, Any]] | None:
    """The newest state of the first of the stages that has one, with the stage's name."""
    for stage in stages:
        state = CheckpointStore(run / stage / "checkpoints").load_newest()
        if state is not None:
            return stage, state["stage"]
    return None


def load_network(
    run: Path,
    stages: tuple[str, ...],
    architecture: str,
    config_type: type[Any],
    network_type: type[NetworkT],
    key: str | None = None,
) -> NetworkT:
    """A trained network, frozen and in evaluation mode.

    Args:
        run: folder of the training run.
        stages: where to look, best first.
        architecture: the name of its architecture in the save.
        config_type: its config dataclass.
        network_type: its class.
        key: the name of its weights in the save, if another one.

    Raises:
        DataError: none of the stages has been trained yet.
    """
    found = newest_state(run, stages)
    if found is None:
        raise DataError(f"{run} has no trained {stages[-1]} yet: `stylefacev train {stages[-1]}`")
    stage, state = found
    config = build(config_type, state["architecture"][architecture], f"{stage}.{architecture}")
    network = network_type(config)
    network.load_state_dict(state["networks"][key or architecture], strict=True)
    return network.eval().requires_grad_(False)


def load_generator(run: Path, start_from: str | None = None) -> Generator:
    """The averaged generator of the newest generator stage.

    Args:
        run: folder of the training run.
        start_from: a model whose generator is taken while the run has none of its own.

    Raises:
        DataError: there is none yet.
        MissingWeightsError: there is no such model.
        IntegrityError: the model is damaged.
    """
    if start_from is not None and newest_state(run, ("finish", "generator")) is None:
        return load_bundle(start_from).networks.generator.eval().requires_grad_(False)
    return load_network(
        run, ("finish", "generator"), "generator", GeneratorConfig, Generator, key="ema"
    )


def load_detector(run: Path, *, fixed: bool = False) -> LandmarkDetector:
    """The landmark detector: as the joint stage left it, or the `fixed` one that gave targets."""
    stages = ("detector",) if fixed else ("joint", "detector")
    return load_network(run, stages, "landmarks", LandmarkDetectorConfig, LandmarkDetector)


def load_pose_extractor(run: Path, *, joint: bool = True) -> PoseExtractor:
    """The pose extractor, of the joint stage if that is wanted and there."""
    stages = ("joint", "pose") if joint else ("pose",)
    return load_network(run, stages, "pose", PoseExtractorConfig, PoseExtractor)


def load_appearance(run: Path, *, joint: bool = True) -> AppearanceRecomposer:
    """The appearance network, of the joint stage if that is wanted and there."""
    stages = ("joint", "appearance") if joint else ("appearance",)
    return load_network(run, stages, "appearance", AppearanceConfig, AppearanceRecomposer)


def load_motion(run: Path) -> MotionSampler:
    """The motion sampler."""
    return load_network(run, ("motion",), "motion", MotionSamplerConfig, MotionSampler)


def write_bundle(
    run: Path,
    name: str,
    fps: float,
    licence: str,
    provenance: dict[str, Any],
    start_from: str | None = None,
) -> Path:
    """Put the networks of a run together as a model bundle in `run/bundle`.

    `start_from` as for `load_generator`.

    Raises:
        DataError: a stage has not been trained yet.
    """
    networks = Networks(
        generator=load_generator(run, start_from),
        landmarks=load_detector(run),
        pose=load_pose_extractor(run),
        appearance=load_appearance(run),
        motion=load_motion(run),
    )
    steps = {stage.name: _steps(stage) for stage in sorted(run.iterdir()) if _steps(stage)}
    folder = run / "bundle"
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
