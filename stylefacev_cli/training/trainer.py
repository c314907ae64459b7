"""Builds the stages of a run from its settings, trains them, and puts their networks together."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.distributed import process_index
from stylefacev_cli.common.files import only_run
from stylefacev_cli.common.listener import Listener
from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import UsageError
from stylefacev_cli.metrics.perceptual import (
    PerceptualLoss,
    load_perceptual,
    resolve_perceptual,
)
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.artifacts import (
    Checkpoints,
    generator_of,
    load_appearance,
    load_detector,
    load_generator,
    load_pose_extractor,
    network_of,
    write_bundle,
)
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import cached_poses
from stylefacev_cli.training.batches.reading import Mapping, load_frames, rendering_of
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.card import write_card
from stylefacev_cli.training.checks.data import check_frames
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.engine.loop import Outcome, StopFlag, finished, run_stage
from stylefacev_cli.training.engine.resuming import TrainedWith
from stylefacev_cli.training.engine.stage import NetworkStage
from stylefacev_cli.training.model_parts import missing_parts
from stylefacev_cli.training.preflight import FINE_TUNED
from stylefacev_cli.training.settings import STAGES, TrainingConfig
from stylefacev_cli.training.stages.appearance import AppearanceStage
from stylefacev_cli.training.stages.detector import DetectorStage
from stylefacev_cli.training.stages.generator import GeneratorStage
from stylefacev_cli.training.stages.joint import JointStage
from stylefacev_cli.training.stages.joint_batches import JointNetworks
from stylefacev_cli.training.stages.motion import MotionStage
from stylefacev_cli.training.stages.pose import PoseStage
from stylefacev_cli.version import __version__
from stylefacev_cli.weights.locate import MANIFEST_NAME
from stylefacev_cli.weights.manifest import MAX_FPS, read_manifest

FRAMES_FOLDER = "frames"  # of a run: large data, mapped; it can be made again


class Trainer:
    """Builds stages; data and the perceptual network are read once, when first needed."""

    def __init__(
        self,
        config: TrainingConfig,
        data: list[Path],
        run: Path,
        device: torch.device,
        listener: Listener,
    ) -> None:
        """Nothing is read yet; arguments as for `train`."""
        self._config, self._data, self._run, self._listener = config, data, run, listener
        self._device = device
        self._checkpoints = Checkpoints(run, config.use_checkpoints, config.start_from)
        self._frames: Frames | None = None
        self._load_perceptual = cache(load_perceptual)

    def prepare(self, names: list[str]) -> None:
        """Read what the stages need, and check it for all of them before the first one's steps.

        Raises:
            DataError: the data is damaged, or a frame lacks a label that a stage needs.
            MissingWeightsError: the perceptual network is not there and cannot be fetched.
        """
        check_frames(self._config, self._read_frames(), names)
        if any(getattr(getattr(self._config, name), "perceptual_weight", 0) for name in names):
            self._load_perceptual(self._config.perceptual)

    def train(
        self,
        name: str,
        budget: Budget,
        stop: StopFlag,
        *,
        skip_finished: bool,
        trained_with: TrainedWith | None = None,
    ) -> Outcome:
        """Train one stage, unless it is finished already."""
        section, folder = getattr(self._config, name), self._run / name
        if skip_finished and finished(folder, section.batch_size, budget):
            self._listener.note(f"{name}: done before")
            return Outcome("done", 0)
        stage, loop = self.stage(name, section), self._config.loop
        return run_stage(stage, folder, budget, loop, stop, self._listener, trained_with)

    def stage(self, name: str, section: Any) -> NetworkStage:
        """The stage, with the networks of earlier ones that it needs, before its first step.

        The generator stages, and the joint one, go on from networks that are there anyway.
        """
        stage, start = self._new_stage(name, section), self._config.start_from
        if self._config.fine_tune and start is not None and name in FINE_TUNED:
            begin_with(stage, start)
        return stage

    def _new_stage(self, name: str, section: Any) -> NetworkStage:
        checkpoints, seed, frames = self._checkpoints, self._config.seed, self._read_frames()
        perceptual = self._perceptual(section)
        if name == "generator" and self._config.start_from is None:
            is_new = not CheckpointStore(self._run / name / "checkpoints").paths()
            smaller = generator_of(section.grow_from) if section.grow_from and is_new else None
            return GeneratorStage(section, frames, seed, perceptual, smaller=smaller)
        device, generator = self._device, self._generator().to(self._device)
        if name in ("generator", "finish"):
            return GeneratorStage(section, frames, seed, perceptual, generator, name)
        if self._config.data_resolution is not None:
            reduce_images(generator, self._config.data_resolution)
        if name == "detector":
            return DetectorStage(section, frames, seed, generator)
        if name == "pose":
            detector = load_detector(checkpoints, fixed=True).to(device)
            return PoseStage(section, frames, seed, detector, generator)
        if name in ("appearance", "joint"):
            detector = load_detector(checkpoints, joint=False).to(device)
            pose = load_pose_extractor(checkpoints, joint=False).to(device)
            if name == "appearance":
                return AppearanceStage(section, frames, seed, generator, detector, pose, perceptual)
            appearance = load_appearance(checkpoints, joint=False).to(device)
            fixed = load_detector(checkpoints, fixed=True).to(device)
            before = JointNetworks(generator, detector, pose, appearance, fixed)
            return JointStage(section, frames, seed, before, perceptual)
        assert name == "motion"
        pose = load_pose_extractor(checkpoints).to(device)
        detector = load_detector(checkpoints).to(device)
        tracks = cached_poses(
            self._run / name / "poses.ckpt", frames, detector, pose, section.num_frames
        )
        shown = frames.image_batch(
            frames.clips(held_out=False, min_frames=section.num_frames)[:1, 0]
        )
        renderer = Renderer(generator, load_appearance(checkpoints).to(device), shown)
        fixed = load_detector(checkpoints, fixed=True).to(device)  # finds key points in pictures
        return MotionStage(section, tracks, seed, renderer, frames, pose, fixed)

    def _generator(self) -> Generator:
        """The run's generator, or that of the model that it starts from."""
        generator = load_generator(self._checkpoints)
        given, there = map(to_plain, (self._config.generator.architecture, generator.config))
        other = {key: value for key, value in there.items() if given[key] != value}
        if other:
            raise UsageError(
                f"generator.architecture is not that of {self._config.start_from or self._run}: "
                f"give it {other}"
            )
        return generator

    def missing_parts(self, *, overtaken: bool) -> dict[str, str]:
        """What a model of the run would lack, see `missing_parts`.

        Args:
            overtaken: networks count as missing where those that they build on are newer.
        """
        joint = self._config.joint
        keeps_poses = joint is not None and joint.keeps_poses
        missing = missing_parts(self._checkpoints, keeps_poses=keeps_poses) if overtaken else {}
        if not missing and self._model_fps() is None:
            missing["rate of motion"] = "give clips with --data"
        return missing

    def _model_fps(self) -> float | None:
        """Frames per second of the model: of the data, or where that has no clips, as it was."""
        fps = self._read_frames().fps
        if 0 < fps <= MAX_FPS:
            return fps
        before = self._run / "bundle"
        if (before / MANIFEST_NAME).is_file():
            return read_manifest(before.absolute()).fps
        start = self._config.start_from
        return None if start is None else read_manifest(start).fps

    def bundle(self) -> Path:
        """Write the model of a finished run."""
        config, frames = self._config, self._read_frames()
        provenance: dict[str, Any] = {
            "made_by": f"stylefacev {__version__}",
            "data": [folder.resolve().name for folder in self._data],
            "frames": len(frames.images),
            "perceptual": resolve_perceptual(config.perceptual),
            "config": to_plain(config),
            **rendering_of(self._data),
        }
        if config.start_from is not None:
            start = read_manifest(config.start_from)
            provenance["start_from"] = {
                "name": start.name,
                "sha256": start.sha256,
                "provenance": dict(start.provenance),
            }
        fps = self._model_fps()
        assert fps is not None
        folder = write_bundle(self._checkpoints, config.name, fps, config.licence, provenance)
        write_card(folder, config, self._data, self._checkpoints, STAGES, provenance["perceptual"])
        return folder

    def _read_frames(self) -> Frames:
        if self._frames is None:
            config = self._config
            mapping = Mapping(self._run / FRAMES_FOLDER, config.mapped_from_bytes)
            with self._listener.doing("reading the data"):
                self._frames = load_frames(
                    self._data,
                    config.data_px,
                    config.held_out_permille,
                    self._device,
                    mapping,
                    resize=config.resize_data,
                )
            total, held_out = len(self._frames.images), int(self._frames.held_out.sum())
            self._listener.note(f"data: {total} frames, {held_out} of them held out")
        return self._frames

    def _perceptual(self, section: Any) -> PerceptualLoss | None:
        if not getattr(section, "perceptual_weight", 0):
            return None
        perceptual = self._load_perceptual(self._config.perceptual)
        if perceptual is None:
            return None
        self._listener.note(f"perceptual loss: {perceptual.name}")
        return perceptual.to(self._device)


def reduce_images(generator: Generator, size_px: int) -> None:
    """Let a generator's images be brought down to a size, each pixel the mean over its area.

    Its pictures then are those that encoders, losses and discriminators see, and no other network
    need know how large they are made.
    """
    generator.synthesis.register_forward_hook(
        lambda network, inputs, images: resize_square(images, size_px)
    )


def begin_with(stage: NetworkStage, model: str) -> None:
    """Give the network that a new stage leaves behind the weights that it has in a model.

    Args:
        stage: is changed; its network is as large as the model's, see `check_beginnings`.
        model: as for `find_bundle`.

    Raises:
        MissingWeightsError: there is no such model, or it lacks the network.
        IntegrityError: the model is damaged.
    """
    (name,) = stage.architecture
    stage.networks[name].load_state_dict(network_of(model, name).state_dict())


def locked(folder: Path) -> AbstractContextManager[None]:
    """Keep two runs from training in the same folder; the first process does."""
    return nullcontext() if process_index() > 0 else only_run(folder, "training in")
