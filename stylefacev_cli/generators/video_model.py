"""A model of another kind than StyleFaceV's own: found by its kind, checked in what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from itertools import islice
from typing import Any, cast

import numpy as np
import torch

from stylefacev_cli.errors import IntegrityError, MissingWeightsError, StyleFaceVError
from stylefacev_cli.generators.interface import VideoGenerator, check_numbers
from stylefacev_cli.media.frames import Frame
from stylefacev_cli.weights.kinds import KINDS, PLUGIN_GROUP
from stylefacev_cli.weights.manifest import Manifest, verify_files

Load = Callable[[Manifest, torch.device], VideoGenerator]

_MODULES = {  # of this room, by kind
    "mocogan-hd": "mocogan_hd",
    "stylegan-v": "stylegan_v",
    "digan": "digan",
}
assert _MODULES.keys() == KINDS.keys()


@dataclass(frozen=True)
class VideoModel:
    """A generator of face videos of another kind, which can sample and no more.

    Attributes:
        manifest: what the model is: name, kind, resolution, fps, hash, licence, provenance.
        generator: that makes the frames.
        device: where it is.
        dtype: of its convolutions.
    """

    manifest: Manifest
    generator: VideoGenerator
    device: torch.device
    dtype: torch.dtype = torch.float32

    def __repr__(self) -> str:
        manifest = self.manifest
        size = f"{manifest.resolution} px, {manifest.fps:g} fps"
        return f"<{manifest.kind} model {manifest.name}: {size}, {self.device.type}>"

    @property
    def fps(self) -> float:
        """Frames a second of its videos."""
        return self.manifest.fps

    @property
    def resolution(self) -> int:
        """Height and width of its frames, px."""
        return self.manifest.resolution

    def warm_up(self) -> None:
        """Nothing: only StyleFaceV's own networks have kernels to compile."""

    def sample(
        self,
        seed: int,
        num_frames: int,
        *,
        motion_seed: int | None = None,
        truncation: float = 1.0,
    ) -> Iterator[Frame]:
        """Make the frames of the video of a seed, as `pipeline.Model.sample` does.

        Args:
            seed: 0 to 2^32 − 1; says who it is.
            num_frames: how many.
            motion_seed: says how the face moves; by default the same number as `seed`.
            truncation: 1 samples as trained, 0 gives the mean face.

        Returns:
            An iterator of uint8 [H, W, 3] arrays.

        Raises:
            UsageError: a number out of range, or a truncation that the kind does not have.
        """
        motion_seed = seed if motion_seed is None else motion_seed
        check_numbers(seed, num_frames, motion_seed)
        frames = self.generator.sample(seed, num_frames, motion_seed, truncation)
        return self._checked(frames, num_frames)

    def _checked(self, frames: Iterator[Frame], num_frames: int) -> Iterator[Frame]:
        size, count = self.manifest.resolution, 0
        for frame in islice(frames, num_frames):
            given = (getattr(frame, "dtype", None), getattr(frame, "shape", None))
            if given != (np.uint8, (size, size, 3)):
                raise StyleFaceVError(
                    f"{self.manifest.name}: its generator gives frames of {given[0]} {given[1]}, "
                    f"not of uint8 ({size}, {size}, 3); mend the plug-in {self.manifest.kind}"
                )
            yield frame
            count += 1
        if count < num_frames:
            raise StyleFaceVError(
                f"{self.manifest.name}: its generator ended after {count} of {num_frames} frames; "
                f"mend the plug-in {self.manifest.kind}"
            )


def load_video_model(manifest: Manifest, device: torch.device) -> VideoModel:
    """A model of another kind, ready to sample from.

    Raises:
        MissingWeightsError: a file of it is not there, or the plug-in of its kind.
        IntegrityError: the model is damaged, or its generator is another one than it says.
        StyleFaceVError: the plug-in cannot be loaded.
    """
    if manifest.kind in _MODULES:
        module = import_module(f"stylefacev_cli.generators.{_MODULES[manifest.kind]}")
        generator = cast(Load, module.load)(manifest, device)
    else:
        verify_files(manifest)
        generator = _plugin(manifest.kind)(manifest, device)
    found, said = (generator.resolution, generator.fps), (manifest.resolution, manifest.fps)
    if found != said:
        raise IntegrityError(
            f"{manifest.folder}: resolution and fps of bundle.yaml are {said}, but those of its "
            f"generator {found}; write them alike"
        )
    return VideoModel(manifest, generator, device)


def plugin_kinds() -> list[str]:
    """The kinds that installed plug-ins bring."""
    return sorted({entry.name for entry in entry_points(group=PLUGIN_GROUP)} - KINDS.keys())


def _plugin(kind: str) -> Any:
    found = next(iter(entry_points(group=PLUGIN_GROUP, name=kind)), None)
    if found is None:
        there = ", ".join([*KINDS, *plugin_kinds()])
        raise MissingWeightsError(
            f"no plug-in for models of the kind {kind}: install the package that brings it "
            f"(entry points {PLUGIN_GROUP}); there are {there}"
        )
    try:
        return found.load()
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StyleFaceVError(
            f"the plug-in {found.value} of the kind {kind} cannot be loaded: {reason}"
        ) from error
