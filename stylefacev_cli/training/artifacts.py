"""Networks that stages leave for those after them, from their newest or best checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from stylefacev_cli.common.settings import build
from stylefacev_cli.errors import DataError, IntegrityError, UsageError
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.training.engine.best import BEST_NAME
from stylefacev_cli.training.engine.checkpoint import CheckpointStore, applying, read_state
from stylefacev_cli.weights.architectures import allocating_at_most
from stylefacev_cli.weights.bundle import Networks, load_bundle, needed, save_bundle

_DETECTORS = {"detector": "landmarks", "landmarks": "detector"}

NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoints:
    """Where the networks of earlier stages are.

    Attributes:
        run: folder of the training run.
        use: `newest` or `best`: which checkpoint of a stage; a stage that keeps no best one (it has
            no validation, or nobody is held out) gives its newest.
        start_from: a model whose networks stand in for those that the run has not trained.
    """

    run: Path
    use: str = "newest"
    start_from: str | None = None


def checkpoint_of(checkpoints: Checkpoints, stage: str) -> dict[str, Any] | None:
    """The checkpoint of a stage that later ones take, whole; None if it has none.

    Raises:
        IntegrityError: it is damaged.
    """
    folder = checkpoints.run / stage / "checkpoints"
    best = folder / BEST_NAME
    if checkpoints.use == "best" and best.exists():
        return read_state(best)
    return CheckpointStore(folder).load_newest()


def state_of(
    checkpoints: Checkpoints, stages: tuple[str, ...]
) -> tuple[str, dict[str, Any]] | None:
    """The state of the first of the stages that has one, with the stage's name."""
    for stage in stages:
        state = checkpoint_of(checkpoints, stage)
        if state is not None:
            return stage, state["stage"]
    return None


def load_network(
    checkpoints: Checkpoints,
    stages: tuple[str, ...],
    architecture: str,
    config_type: type[Any],
    network_type: type[NetworkT],
    key: str | None = None,
    in_model: str | None = None,
) -> NetworkT:
    """A trained network, frozen and in evaluation mode; else that of the model to start from.

    Args:
        checkpoints: where they are.
        stages: where to look, best first.
        architecture: the name of its architecture in the checkpoint.
        config_type: its config dataclass.
        network_type: its class.
        key: the name of its weights in the checkpoint, if another one.
        in_model: the name of the network in the model to start from, if another one.

    Raises:
        DataError: none of the stages has been trained yet, and there is no model to start from.
        MissingWeightsError: there is no such model, or it lacks the network.
        IntegrityError: the model is damaged.
    """
    found = state_of(checkpoints, stages)
    if found is None and checkpoints.start_from is not None:
        network = network_of(checkpoints.start_from, in_model or architecture)
        assert isinstance(network, network_type)
        return network.eval().requires_grad_(False)
    if found is None:
        raise DataError(
            f"{checkpoints.run} has no trained {stages[-1]} yet: `stylefacev train {stages[-1]}`"
        )
    stage, state = found
    where = checkpoints.run / stage
    with applying(f"{where}: its checkpoint"):
        settings, weights = state["architecture"][architecture], state["networks"]
        weights = weights[key or architecture]
        num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        try:
            config = build(config_type, settings, f"{stage}.{architecture}")
        except UsageError as error:
            raise IntegrityError(f"{where}: its checkpoint is damaged: {error}") from error
        with allocating_at_most(4 * num_bytes + 2**24, where):
            network = network_type(config)
        network.load_state_dict(weights, strict=True)
    return network.eval().requires_grad_(False)


def network_of(model: str, name: str) -> nn.Module:
    """A network of a model that others start from.

    Args:
        model: as for `find_bundle`.
        name: of a field of `Networks`; each detector stands in for the other.

    Raises:
        MissingWeightsError: there is no such model, or it lacks the network.
        IntegrityError: the model is damaged.
    """
    networks = load_bundle(model).networks
    network: nn.Module | None = getattr(networks, name)
    if network is None and name in _DETECTORS:
        network = getattr(networks, _DETECTORS[name])
    return needed(network, name)


def load_generator(checkpoints: Checkpoints) -> Generator:
    """The averaged generator of the last generator stage; raises as `load_network`."""
    stages = ("finish", "generator")
    return load_network(checkpoints, stages, "generator", GeneratorConfig, Generator, key="ema")


def generator_of(model_or_run: str) -> Generator:
    """The generator of a model, or of a training run whose folder is named.

    Raises:
        MissingWeightsError: there is neither.
        IntegrityError: it is damaged.
    """
    run = Path(model_or_run)
    checkpoints = Checkpoints(run)
    if state_of(checkpoints, ("finish", "generator")) is not None:
        return load_generator(checkpoints)
    return load_bundle(model_or_run).networks.generator


def load_detector(
    checkpoints: Checkpoints, *, joint: bool = True, fixed: bool = False
) -> LandmarkDetector:
    """The landmark detector that the pose extractor works behind; raises as `load_network`.

    Of a model that keeps two, the trained copy goes with the model's own pose extractor.

    Args:
        checkpoints: where it is.
        joint: as the joint stage left it, if that is there.
        fixed: the one that gives the pose stage its targets, whoever's pose extractor is there.
    """
    stages = ("joint", "detector") if joint and not fixed else ("detector",)
    is_fixed = fixed or state_of(checkpoints, ("pose",)) is not None
    return load_network(
        checkpoints,
        stages,
        "landmarks",
        LandmarkDetectorConfig,
        LandmarkDetector,
        in_model="detector" if is_fixed else "landmarks",
    )


def load_pose_extractor(checkpoints: Checkpoints, *, joint: bool = True) -> PoseExtractor:
    """The pose extractor, of the joint stage if that is wanted and there."""
    stages = ("joint", "pose") if joint else ("pose",)
    return load_network(checkpoints, stages, "pose", PoseExtractorConfig, PoseExtractor)


def load_appearance(checkpoints: Checkpoints, *, joint: bool = True) -> AppearanceRecomposer:
    """The appearance network, of the joint stage if that is wanted and there."""
    stages = ("joint", "appearance") if joint else ("appearance",)
    return load_network(checkpoints, stages, "appearance", AppearanceConfig, AppearanceRecomposer)


def load_motion(checkpoints: Checkpoints) -> MotionSampler:
    """The motion sampler."""
    return load_network(checkpoints, ("motion",), "motion", MotionSamplerConfig, MotionSampler)


def write_bundle(
    checkpoints: Checkpoints, name: str, fps: float, licence: str, provenance: dict[str, Any]
) -> Path:
    """Put the networks of a run together as a model bundle in `run/bundle`.

    The detector that the joint stage left as it was is kept beside a copy that was trained.

    Raises:
        DataError: a stage has not been trained yet.
    """
    landmarks, fixed = load_detector(checkpoints), load_detector(checkpoints, fixed=True)
    networks = Networks(
        generator=load_generator(checkpoints),
        landmarks=landmarks,
        pose=load_pose_extractor(checkpoints),
        appearance=load_appearance(checkpoints),
        motion=load_motion(checkpoints),
        detector=None if _are_alike(landmarks, fixed) else fixed,
    )
    steps = {
        stage.name: _steps(stage) for stage in sorted(checkpoints.run.iterdir()) if _steps(stage)
    }
    folder = checkpoints.run / "bundle"
    save_bundle(
        folder,
        networks,
        name=name,
        fps=fps,
        licence=licence,
        provenance=_of_what_was_trained(provenance | {"steps": steps}),
    )
    return folder


def _of_what_was_trained(provenance: dict[str, Any]) -> dict[str, Any]:
    """Without the settings of stages that a run, and those before it, left alone.

    The bundle is read at every start, and would grow by all of them with each round of training;
    the card beside it has them whole.
    """
    kept, trained = dict(provenance), provenance.get("steps")
    config, start = provenance.get("config"), provenance.get("start_from")
    if isinstance(config, dict) and isinstance(trained, dict):
        kept["config"] = {
            key: value
            for key, value in config.items()
            if key in trained or key == "loop" or not isinstance(value, dict)
        }
    if isinstance(start, dict) and isinstance(start.get("provenance"), dict):
        kept["start_from"] = start | {"provenance": _of_what_was_trained(start["provenance"])}
    return kept


def _are_alike(one: nn.Module, other: nn.Module) -> bool:
    weights, others = one.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(
        torch.equal(value, others[key]) for key, value in weights.items()
    )


def _steps(stage: Path) -> int:
    names = [path.stem for path in CheckpointStore(stage / "checkpoints").paths()]
    return int(names[-1].split("-")[1]) if names else 0
