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


class LightModel:
    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        self.device = types.SimpleNamespace(type="cpu")

    def warm_up(self) -> None:
        pass

    def sample(self, seed: int, num_frames: int, **_: object) -> Iterator[Any]:
        side_px = self.manifest.resolution
        random = np.random.default_rng(seed)
        for _index in range(num_frames):
            yield random.integers(0, 255, (side_px, side_px, 3), np.uint8)


pipeline: Any = types.ModuleType("stylefacev_cli.pipeline")
pipeline.load_model = lambda folder, device, dtype: LightModel(folder)
threads: Any = types.ModuleType("stylefacev_cli.common.threads")
threads.num_threads, threads.set_num_threads = (lambda: 1), (lambda number: None)
sys.modules |= {pipeline.__name__: pipeline, threads.__name__: threads}
main()
