from __future__ import annotations

from pathlib import Path

import pytest
from discs import draw_frames, write_discs
from tiny import DISC_GENERATOR

from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import Frames


@pytest.fixture(scope="session")
def stills() -> Frames:
    return draw_frames(40, 2)


@pytest.fixture(scope="session")
def clips() -> Frames:
    return draw_frames(5, 24)


@pytest.fixture(scope="session")
def tiny_generator() -> GeneratorConfig:
    return DISC_GENERATOR


@pytest.fixture(scope="session")
def clip_folder(clips: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(clips, tmp_path_factory.mktemp("data") / "discs")
