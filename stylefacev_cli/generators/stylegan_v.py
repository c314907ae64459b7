"""StyleGAN-V: a seed → w; a motion seed → noise in time; both and times → frames.

A frame's time is its number, in frames of the training videos. Frames do not depend on each other,
so that videos may be of any length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from stylefacev_cli.common.seeding import latent_of_seed, noise_of_seed
from stylefacev_cli.generators.interface import as_pictures, batch_size
from stylefacev_cli.media.frames import Frame
from stylefacev_cli.networks.baselines.stylegan_v import StyleGanV
from stylefacev_cli.weights.bundle import load_networks
from stylefacev_cli.weights.manifest import Manifest


@dataclass(frozen=True)
class StyleGanVVideos:
    """A `VideoGenerator`.

    Attributes:
        network: the generator.
        fps: frames a second.
        device: where it is.
    """

    network: StyleGanV
    fps: float
    device: torch.device

    @property
    def resolution(self) -> int:
        """Height and width of its frames, px."""
        return self.network.config.img_resolution

    def sample(
        self, seed: int, num_frames: int, motion_seed: int, truncation: float
    ) -> Iterator[Frame]:
        """As `VideoGenerator`."""
        network, config = self.network, self.network.config
        encoder = network.synthesis.motion_encoder
        noise = noise_of_seed(motion_seed, config.motion.z_dim)
        held: list[torch.Tensor] = []  # noise vectors from number `first` on
        first = 0
        with torch.inference_mode():
            z = latent_of_seed(seed, config.z_dim).to(self.device)
            ws = network.mapping(z, truncation_psi=truncation)
        for start in range(0, num_frames, batch_size(self.resolution)):
            last = min(start + batch_size(self.resolution), num_frames) - 1
            while len(held) < encoder.num_noise(last) - first:
                held.append(next(noise))
            passed = start // config.motion.distance - first
            held, first = held[passed:], first + passed
            with torch.inference_mode():
                times = torch.arange(start, last + 1, device=self.device)[None].float()
                vectors = torch.cat(held)[None].to(self.device)
                frames = network.synthesis(ws, vectors, times, first)
            yield from as_pictures(frames.clamp(-1, 1))


def load(manifest: Manifest, device: torch.device) -> StyleGanVVideos:
    """The generator of a bundle."""
    network = load_networks(manifest)["stylegan_v"].to(device)
    return StyleGanVVideos(network, manifest.fps, device)
