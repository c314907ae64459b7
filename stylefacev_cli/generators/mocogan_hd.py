"""MoCoGAN-HD: a seed → w, noise and w → the w's that follow → frames.

The image generator is a StyleGAN2, as in the released files, or a StyleGAN3, as in StyleFaceV's
comparison. A StyleGAN2 gets noise maps of the seed, the same in all frames of a video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch

from stylefacev_cli.common.seeding import latent_of_seed, noise_maps_of_seed, noise_of_seed
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generators.interface import as_pictures, batch_size
from stylefacev_cli.media.frames import Frame
from stylefacev_cli.networks.baselines.mocogan_hd_motion import LatentMotionSampler
from stylefacev_cli.networks.baselines.stylegan2 import StyleGan2
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.weights.bundle import load_networks
from stylefacev_cli.weights.manifest import Manifest


@dataclass(frozen=True)
class MocoganHd:
    """A `VideoGenerator`.

    Attributes:
        image: the generator of images.
        motion: that moves its w's.
        fps: frames a second.
        device: where both are.
    """

    image: StyleGan2 | Generator
    motion: LatentMotionSampler
    fps: float
    device: torch.device

    @property
    def resolution(self) -> int:
        """Height and width of its frames, px."""
        return self.image.config.img_resolution

    def sample(
        self, seed: int, num_frames: int, motion_seed: int, truncation: float
    ) -> Iterator[Frame]:
        """As `VideoGenerator`; without truncation, as its authors sample."""
        if truncation != 1:
            raise UsageError("MoCoGAN-HD has no truncation: leave it out")
        return self._frames(seed, num_frames, motion_seed)

    def _frames(self, seed: int, num_frames: int, motion_seed: int) -> Iterator[Frame]:
        z = latent_of_seed(seed, self.motion.config.w_dim).to(self.device)
        maps = self._noise_maps(seed)
        ws = islice(self._move(self._map(z), motion_seed), num_frames)
        while some := list(islice(ws, batch_size(self.resolution))):
            yield from as_pictures(self._render(torch.cat(some), maps))

    @torch.inference_mode()
    def _map(self, z: torch.Tensor) -> torch.Tensor:
        """Z [1, w_dim] → w [1, w_dim]."""
        w: torch.Tensor = self.image.mapping(z)
        return w if w.ndim == 2 else w[:, 0]

    def _move(self, first_w: torch.Tensor, motion_seed: int) -> Iterator[torch.Tensor]:
        """The first w [1, w_dim], then those that follow from it and noise, without end."""
        noise = noise_of_seed(motion_seed, self.motion.config.w_dim)
        yield first_w
        with torch.inference_mode():
            state = self.motion.start(first_w)
        for _ in count():
            with torch.inference_mode():
                w, state = self.motion.step(state, next(noise).to(self.device))
            yield w

    def _noise_maps(self, seed: int) -> list[torch.Tensor]:
        if isinstance(self.image, Generator):
            return []
        maps = noise_maps_of_seed(seed, self.image.noise_sizes)
        return [one.to(self.device) for one in maps]

    @torch.inference_mode()
    def _render(self, ws: torch.Tensor, maps: list[torch.Tensor]) -> torch.Tensor:
        """Ws [T, w_dim] → frames [T, 3, R, R] in [−1, 1]."""
        if isinstance(self.image, Generator):
            layers = ws[:, None].expand(-1, self.image.num_ws, -1)
            frames: torch.Tensor = self.image.synthesis(layers)
        else:
            frames = self.image.synthesis(ws, maps)
        return frames.clamp(-1, 1)


def load(manifest: Manifest, device: torch.device) -> MocoganHd:
    """The generator of a bundle."""
    networks = load_networks(manifest)
    image = networks["stylegan2" if "stylegan2" in networks else "generator"].to(device)
    return MocoganHd(image, networks["latent_motion"].to(device), manifest.fps, device)
