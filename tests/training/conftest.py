from __future__ import annotations

from pathlib import Path

import pytest
from discs import SIZE_PX, Z_DIM, draw_frames, write_discs

from stylefacev_cli.networks.generator import GeneratorConfig
from stylefacev_cli.training.frames import Frames


@pytest.fixture(scope="session")
def stills() -> Frames:
    return draw_frames(40, 2)


@pytest.fixture(scope="session")
def clips() -> Frames:
    return draw_frames(5, 24)


@pytest.fixture(scope="session")
def tiny_generator() -> GeneratorConfig:
    return GeneratorConfig(
        z_dim=Z_DIM,
        w_dim=16,
        img_resolution=SIZE_PX,
        channel_base=256,
        channel_max=16,
        num_layers=4,
        margin_size=2,
        filter_size=4,
    )


@pytest.fixture(scope="session")
def clip_folder(clips: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(clips, tmp_path_factory.mktemp("data") / "discs")
