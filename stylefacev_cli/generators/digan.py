"""DIGAN: a seed → w; a motion seed → one vector for all of a video; both and times → frames.

The frames of a training clip stand at times from 0 to 1; longer videos go on at the same pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from stylefacev_cli.common.seeding import latent_of_seed, noise_of_seed
from stylefacev_cli.generators.interface import as_pictures, batch_size
from stylefacev_cli.media.frames import Frame
from stylefacev_cli.networks.baselines.digan import Digan
from stylefacev_cli.weights.bundle import load_networks
from stylefacev_cli.weights.kinds import PAPER_FRAMES
from stylefacev_cli.weights.manifest import Manifest


@dataclass(frozen=True)
class DiganVideos:
    """A `VideoGenerator`.

    Attributes:
        network: the generator.
        fps: frames a second.
        device: where it is.
    """

    network: Digan
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
        network, batch = self.network, batch_size(self.resolution)
        z_motion = next(noise_of_seed(motion_seed, network.config.w_dim)).to(self.device)
        with torch.inference_mode():
            z = latent_of_seed(seed, network.config.z_dim).to(self.device)
            ws = network.mapping(z, truncation_psi=truncation)
        for start in range(0, num_frames, batch):
            numbers = torch.arange(start, min(start + batch, num_frames), device=self.device)
            with torch.inference_mode():
                times = numbers[None].float() / (PAPER_FRAMES - 1)
                frames = network.synthesis(ws, z_motion, times)
            yield from as_pictures(frames.clamp(-1, 1))


def load(manifest: Manifest, device: torch.device) -> DiganVideos:
    """The generator of a bundle."""
    network = load_networks(manifest)["digan"].to(device)
    return DiganVideos(network, manifest.fps, device)
