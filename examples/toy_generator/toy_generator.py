"""A toy video generator as a plug-in of stylefacev: a head that nods, drawn by numpy alone.

    pip install examples/toy_generator
    stylefacev generate --model examples/toy_generator/model --seeds 0-3 --frames 32
    stylefacev eval identity --fake 'model:examples/toy_generator/model?seeds=0-15'

A generator of yours needs the same three things: `fps`, `resolution` and `sample`. Its weights and
settings lie beside `bundle.yaml`, in the folder that `load` is told.
"""

import numpy as np


class ToyGenerator:
    """Ellipses: the seed gives colours and shape, the motion seed the way of the head."""

    def __init__(self, resolution, fps, period):
        self.resolution, self.fps, self.period = resolution, fps, period

    def sample(self, seed, num_frames, motion_seed, truncation):
        """Frames, uint8 [H, W, 3]; a shorter video is the beginning of a longer one."""
        person = np.random.RandomState(seed).uniform(-1, 1, 8) * truncation
        phases = np.random.RandomState(motion_seed).uniform(0, 2 * np.pi, 2)
        for frame in range(num_frames):
            angles = 2 * np.pi * frame / self.period * np.array([1, 2]) + phases
            yield self.draw(person, np.sin(angles) * 0.08)

    def draw(self, person, place):
        """One frame of a person [8] whose head is moved by (x, y), in picture widths."""
        axis = (np.arange(self.resolution) + 0.5) / self.resolution - 0.5
        x, y = axis[None, :] - place[0], axis[:, None] - place[1]
        picture = np.full((self.resolution, self.resolution, 3), 96.0) + 40 * person[:3]
        head = (x / (0.28 + 0.04 * person[6])) ** 2 + (y / (0.36 + 0.04 * person[7])) ** 2 < 1
        picture[head] = np.array([200, 160, 140]) + 40 * person[3:6]
        for side in (-1, 1):
            picture[(x - 0.1 * side) ** 2 + (y + 0.08) ** 2 < 0.03**2] = 30
        picture[(x / 0.1) ** 2 + ((y - 0.16) / 0.02) ** 2 < 1] = (150, 60, 60)
        return picture.clip(0, 255).astype(np.uint8)


def load(manifest, device):
    """A model: what its bundle.yaml says, and where torch would compute (a toy does without)."""
    del device
    settings = manifest.architecture["toy"]
    return ToyGenerator(manifest.resolution, manifest.fps, settings["period"])
