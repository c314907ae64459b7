"""From a seed to the frames of a face video: each step is one named method of `Model`.

    seed → z → w → first frame
    first frame → appearance, first pose
    first pose, noise → poses                (the LSTM motion sampler)
    appearance, poses → ws → frames

Source: StyleFaceV (2022), "Decomposing and recomposing pretrained StyleGAN3".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice, repeat
from pathlib import Path

import torch

from stylefacev_cli.common.seeding import latent_of_seed, latents_of_seeds, noise_of_seed
from stylefacev_cli.common.threads import one_thread, samples_alone
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generators.devices import choose_device as choose_device
from stylefacev_cli.generators.interface import MAX_SEED as MAX_SEED
from stylefacev_cli.generators.interface import as_pictures as as_pictures
from stylefacev_cli.generators.interface import check_numbers
from stylefacev_cli.generators.video_model import VideoModel as VideoModel
from stylefacev_cli.generators.video_model import load_video_model
from stylefacev_cli.media import Frame
from stylefacev_cli.motion.drift import DriftControl
from stylefacev_cli.motion.pose_edits import transfer_motion
from stylefacev_cli.weights.bundle import Networks, load_bundle, needed
from stylefacev_cli.weights.downloads.interaction import CallFromPython, interacting, interaction
from stylefacev_cli.weights.kinds import only_for_own
from stylefacev_cli.weights.locate import DEFAULT_MODEL
from stylefacev_cli.weights.manifest import Manifest, read_manifest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_PIXELS_PER_BATCH = 2**18  # so many frames are rendered at once; 64 px: 16 (the most), 512 px: 1
_MAX_BATCH = 16
_USUAL_SEEDS = 32  # so many first poses are where faces usually are


def load_model(
    name_or_folder: str | Path | Manifest = DEFAULT_MODEL,
    device: str = "auto",
    dtype: str = "float32",
    *,
    accept_licence: bool = False,
) -> Model | VideoModel:
    """Load a model of any kind, ready to sample from.

    Args:
        name_or_folder: the name of a shipped, imported or released model, or a folder that holds
            `bundle.yaml`. A released one that is not here yet is downloaded and imported; the log
            `stylefacev_cli` says how that goes. A partial model does what its networks can do. The
            manifest of a model saves reading it again.
        device: `auto` (CUDA, else Apple's MPS, else the CPU), `cpu`, `cuda` or `mps`.
        dtype: of the generator's convolutions: `float32`, or `bfloat16`, which is coarser.
        accept_licence: of a released model that is to be downloaded.

    Returns:
        A `Model`, or, of another kind than StyleFaceV's own, what can do `sample` and no more.

    Raises:
        MissingWeightsError: there is no such model, it cannot be fetched, or it needs a plug-in.
        IntegrityError: the model is damaged.
        UsageError: the device is not there, or no such dtype.
    """
    if dtype not in DTYPES:
        raise UsageError(f"no such dtype: {dtype}; give one of {', '.join(DTYPES)}")
    place = choose_device(device)
    way = CallFromPython(accept_licence=True) if accept_licence else interaction()
    with interacting(way):
        given = name_or_folder
        manifest = given if isinstance(given, Manifest) else read_manifest(given, any_kind=True)
    if not manifest.is_own:
        if dtype != "float32":
            raise UsageError(f"dtype {dtype}: models of the kind {manifest.kind} have float32 only")
        return load_video_model(manifest, place)
    bundle = load_bundle(manifest)
    for network in bundle.networks.present().values():
        network.to(place)
    return Model(bundle.manifest, bundle.networks, place, DTYPES[dtype])


def load_own_model(
    name_or_folder: str | Path | Manifest = DEFAULT_MODEL, what: str = "this job"
) -> Model:
    """A model of StyleFaceV's own networks, as `load_model` gives it.

    Args:
        name_or_folder: as there.
        what: needs it, for the message.

    Raises:
        UsageError: it is of another kind.
    """
    model = load_model(name_or_folder)
    if isinstance(model, VideoModel):
        raise only_for_own(model.manifest.name, model.manifest.kind, what)
    return model


@dataclass(frozen=True)
class Model:
    """A generator of face videos.

    Attributes:
        manifest: what the model is: name, resolution, fps, hash, licence, provenance.
        networks: its networks; a partial model lacks some.
        device: where they are.
        dtype: of the generator's convolutions.
    """

    manifest: Manifest
    networks: Networks
    device: torch.device
    dtype: torch.dtype

    def __repr__(self) -> str:
        manifest, dtype = self.manifest, str(self.dtype).removeprefix("torch.")
        size = f"{manifest.resolution} px, {manifest.fps:g} fps"
        return f"<model {manifest.name}: {size}, {self.device.type}, {dtype}>"

    def sample(
        self,
        seed: int,
        num_frames: int,
        *,
        motion_seed: int | None = None,
        truncation: float = 1.0,
        stabilise: bool = True,
        batch: int | None = None,
    ) -> Iterator[Frame]:
        """Make the frames of the video of a seed; memory does not grow with their number.

        Poses are bit for bit the same whatever `batch`, the number of CPU threads and the length
        are, frames up to rounding; a shorter video is the beginning of a longer one. As in the
        authors' sampling, frame 0 is the first frame taken apart and put together again:
        G(R(appearance, p_0)), not the frame itself. A model that lacks networks gives single frames
        (`num_frames=1`), and those are what its generator makes.

        Args:
            seed: 0 to 2^32 − 1; says who it is, and how the first frame looks.
            num_frames: how many.
            motion_seed: says how the face moves from there; by default the same number as `seed`.
                One motion seed with several seeds gives them the same noise, not the same poses.
            truncation: 1 samples as trained, 0 gives the mean face; applies to the first frame.
            stabilise: keep poses near the video's first ones where it is longer than training's
                sequences; without it they drift away.
            batch: frames rendered at once; a number that suits the resolution by default.

        Returns:
            An iterator of uint8 [H, W, 3] arrays.

        Raises:
            UsageError: a number out of range.
            MissingWeightsError: the model is partial, and lacks networks that videos need.
        """
        if num_frames > 1:
            self.manifest.check_complete()
        motion_seed = seed if motion_seed is None else motion_seed
        batch = self.default_batch if batch is None else batch
        check_numbers(seed, num_frames, motion_seed, batch)

        def frames() -> Iterator[Frame]:
            if num_frames == 1 and self.manifest.missing:
                yield from as_pictures(self.first_frame(seed, truncation))
                return
            person = self.person(seed, truncation)
            poses = self.motion(person.first_pose, motion_seed, num_frames, stabilise)
            yield from person.play(poses, batch)

        return frames()

    def reenact(
        self,
        who: int | Person,
        poses: torch.Tensor,
        *,
        relative: bool = True,
        truncation: float = 1.0,
        batch: int | None = None,
    ) -> Iterator[Frame]:
        """Make a person move as a driver does; memory is that of the poses.

        Args:
            who: the person of a seed, 0 to 2^32 − 1, or of a photo (`inversion.person_of`).
            poses: [T, 1, 8, 8], of the driver, from `extract_pose` of a model with the same one.
            relative: start from the person's own first pose, and add the driver's movements since
                their first; else take the driver's poses as they are.
            truncation: as in `sample`.
            batch: as in `sample`.

        Returns:
            An iterator of uint8 [H, W, 3] arrays.

        Raises:
            UsageError: a number out of range.
            MissingWeightsError: the model is partial, and lacks networks that videos need.
        """
        self.manifest.check_complete()
        batch = self.default_batch if batch is None else batch
        seed = who if isinstance(who, int) else 0
        check_numbers(seed, len(poses), seed, batch)

        def frames() -> Iterator[Frame]:
            person = self.person(who, truncation) if isinstance(who, int) else who
            driving = person.following(poses.to(self.device), relative)
            yield from person.play(torch.split(driving, 1), batch)

        return frames()

    def warm_up(self) -> None:
        """Render one frame for nothing: kernels are compiled, or found in their cache, now."""
        self.first_frame(0)

    def first_frame(self, seed: int, truncation: float = 1.0) -> torch.Tensor:
        """The frame [1, 3, R, R] of a seed, before it is taken apart."""
        z = latent_of_seed(seed, self.networks.generator.config.z_dim)
        with one_thread():  # what follows from it is the same with any number of them
            return self.render(self.map(z, truncation))

    def person(self, seed: int, truncation: float = 1.0) -> Person:
        """The person of a seed."""
        return Person(*self.take_apart(self.first_frame(seed, truncation)), self)

    def take_apart(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A frame [1, 3, R, R] → its appearance [1, C, 8, 8] and its pose [1, 1, 8, 8]."""
        return self.encode(frame), self.extract_pose(frame)

    def motion(
        self, first_pose: torch.Tensor, motion_seed: int, num_frames: int, stabilise: bool = True
    ) -> Iterator[torch.Tensor]:
        """The poses [1, 1, 8, 8] of a video, held near its first ones if it is a long one."""
        is_long = num_frames > self.manifest.motion_frames
        stabiliser = self.new_stabiliser() if stabilise and is_long else None
        return islice(self.move(first_pose, motion_seed, stabiliser), num_frames)

    def play(
        self,
        appearance: torch.Tensor | Iterable[torch.Tensor],
        poses: Iterable[torch.Tensor],
        batch: int,
        *,
        mixes: Sequence[Mix] = (),
        transforms: Iterable[torch.Tensor] | None = None,
    ) -> Iterator[Frame]:
        """Render a person in poses, a batch at a time.

        Args:
            appearance: [1, C, 8, 8], or one for each pose.
            poses: [1, 1, 8, 8] each.
            batch: frames rendered at once.
            mixes: layers whose ws are those of another person in the same poses.
            transforms: [1, 3, 3] for each pose: where the picture stands (`camera_transforms`).

        Yields:
            uint8 [H, W, 3] arrays.
        """
        faces = repeat(appearance) if isinstance(appearance, torch.Tensor) else appearance
        if transforms is None:
            transforms = repeat(torch.eye(3, dtype=torch.float64)[None])
        moments = zip(poses, faces, transforms, strict=False)  # as long as there are poses
        while some := list(islice(moments, batch)):
            some_poses, some_faces, places = (torch.cat(parts) for parts in zip(*some, strict=True))
            ws = self.mix(self.recompose(some_faces, some_poses), some_poses, mixes)
            yield from as_pictures(self.render(ws, places))

    @property
    def default_batch(self) -> int:
        """Frames rendered at once by default."""
        return max(1, min(_MAX_BATCH, _PIXELS_PER_BATCH // self.manifest.resolution**2))

    @torch.inference_mode()
    def map(self, z: torch.Tensor, truncation: float) -> torch.Tensor:
        """Z [N, z_dim] → ws [N, num_ws, w_dim]."""
        mapping = self.networks.generator.mapping
        return samples_alone(lambda one: mapping(one, truncation_psi=truncation), z.to(self.device))

    @torch.inference_mode()
    def render(self, ws: torch.Tensor, transforms: torch.Tensor | None = None) -> torch.Tensor:
        """Ws [N, num_ws, w_dim], placed by [N, 3, 3] if given → frames [N, 3, R, R] in [−1, 1]."""
        frames: torch.Tensor = self.networks.generator.synthesis(
            ws, conv_dtype=self.dtype, transforms=transforms
        )
        return frames.clamp(-1, 1)

    @torch.inference_mode()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames [N, 3, R, R] → the appearance of each, which stays [N, C, 8, 8]."""
        return samples_alone(needed(self.networks.appearance, "appearance").encode, frames)

    @torch.inference_mode()
    def extract_pose(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames [N, 3, R, R] → landmark heatmaps → poses [N, 1, 8, 8]."""
        landmarks = needed(self.networks.landmarks, "landmarks")
        pose = needed(self.networks.pose, "pose")
        return samples_alone(lambda one: pose(landmarks((one + 1) / 2)), frames)  # sees [0, 1]

    def move(
        self, first_pose: torch.Tensor, motion_seed: int, stabiliser: DriftControl | None = None
    ) -> Iterator[torch.Tensor]:
        """The first pose [1, 1, 8, 8], then those that follow from it and noise, without end."""
        sampler = needed(self.networks.motion, "motion")
        noise = noise_of_seed(motion_seed, sampler.config.pose_dim)
        if stabiliser is not None:
            stabiliser.hold(first_pose.flatten(1), 0)
        yield first_pose
        with torch.inference_mode(), one_thread():
            state = sampler.start(first_pose.flatten(1))
        for frame in count(1):
            with torch.inference_mode(), one_thread():
                pose, state = sampler.step(state, next(noise).to(self.device))
                if stabiliser is not None:
                    pose = stabiliser.hold(pose, frame)
                    state = state._replace(pose=pose)
            yield pose.view_as(first_pose)

    def new_stabiliser(self) -> DriftControl:
        """For one long video."""
        return DriftControl(self.manifest.motion_frames)

    @cached_property
    def usual_poses(self) -> torch.Tensor:
        """Poses [32, 1, 8, 8] of the first seeds' frames: the places where faces usually are."""
        z_dim, size = self.networks.generator.config.z_dim, self.default_batch
        seeds = [range(start, start + size) for start in range(0, _USUAL_SEEDS, size)]
        poses = [
            self.extract_pose(self.render(self.map(latents_of_seeds(some, z_dim), 1.0)))
            for some in seeds
        ]
        return torch.cat(poses)

    @torch.inference_mode()
    def recompose(self, appearance: torch.Tensor, poses: torch.Tensor) -> torch.Tensor:
        """Appearances [N, C, 8, 8], or one for all, in poses [N, 1, 8, 8] → ws of each."""
        recompose = needed(self.networks.appearance, "appearance").recompose
        return samples_alone(recompose, appearance, poses)

    @torch.inference_mode()
    def mix(self, ws: torch.Tensor, poses: torch.Tensor, mixes: Sequence[Mix]) -> torch.Tensor:
        """Ws [N, num_ws, w_dim] of poses [N, 1, 8, 8], some layers taken from other people's."""
        if mixes:
            ws = ws.clone()
        for mix in mixes:
            layers = list(mix.layers)
            ws[:, layers] = mix.model.recompose(mix.appearance, poses)[:, layers]
        return ws


@dataclass(frozen=True)
class Mix:
    """Layers of the generator that show another person (style mixing, Karras et al. 2019).

    Attributes:
        model: that recomposes the other person.
        appearance: [1, C, 8, 8], of the other person.
        layers: places in ws; 0 is the Fourier input, the last one gives the colours.
    """

    model: Model
    appearance: torch.Tensor
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Person:
    """Somebody who can be moved.

    Attributes:
        appearance: [1, C, 8, 8].
        first_pose: [1, 1, 8, 8], to start from.
        model: that renders this person; its networks may be changed for just that.
    """

    appearance: torch.Tensor
    first_pose: torch.Tensor
    model: Model

    def __repr__(self) -> str:
        return f"<person of {self.model!r}>"

    def following(self, poses: torch.Tensor, relative: bool) -> torch.Tensor:
        """A driver's poses [T, 1, 8, 8] for this person, see `Model.reenact`."""
        return transfer_motion(self.first_pose, poses, poses[:1]) if relative else poses

    def play(self, poses: Iterable[torch.Tensor], batch: int | None = None) -> Iterator[Frame]:
        """Render the person in poses [1, 1, 8, 8]: uint8 [H, W, 3] arrays."""
        return self.model.play(self.appearance, poses, batch or self.model.default_batch)
