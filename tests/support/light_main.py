"""The real command line over a model of numpy alone: starts in a fraction of a second.

For tests of what the process does – pipes, signals, disks – and not of what it shows.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stylefacev_cli.cli.app import main
from stylefacev_cli.weights.manifest import read_manifest


class LightPerson:
    def __init__(self, seed: int, model: LightModel) -> None:
        self.first_pose, self.appearance, self.model = seed, seed, model


class LightModel:
    default_batch = 1

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        self.device = types.SimpleNamespace(type="cpu")

    def warm_up(self) -> None:
        pass

    def person(self, seed: int, truncation: float) -> LightPerson:
        return LightPerson(seed, self)

    def motion(self, first_pose: int, motion_seed: int, num_frames: int, _: bool) -> range:
        return range(num_frames)

    def play(self, seed: int, poses: range, batch: int, **_: object) -> Iterator[Any]:
        side_px = self.manifest.resolution
        random = np.random.default_rng(seed)
        for _pose in poses:
            yield random.integers(0, 255, (side_px, side_px, 3), np.uint8)


pipeline: Any = types.ModuleType("stylefacev_cli.pipeline")
pipeline.load_model = lambda manifest, device, dtype: LightModel(manifest.folder)
threads: Any = types.ModuleType("stylefacev_cli.common.threads")
threads.num_threads, threads.set_num_threads = (lambda: 1), (lambda number: None)
sys.modules |= {pipeline.__name__: pipeline, threads.__name__: threads}
main()
