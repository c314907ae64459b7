from __future__ import annotations

import pytest
from discs import draw_frames, tiny_architecture

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
    return tiny_architecture()
