"""What tests of `eval` share: cheap networks, videos of noise, and a way to call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.metrics import face_networks, feature_networks, image_distances
from stylefacev_cli.metrics.face_networks import FaceNetwork
from stylefacev_cli.metrics.fid import FeatureNetwork
from stylefacev_cli.metrics.image_distances import ImageDistance
from stylefacev_cli.weights.convert import i3d_weights

Evaluate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(
    tiny_model: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Evaluate:
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")

    def colours(clips: torch.Tensor) -> torch.Tensor:
        """Stands for I3D: cheap features that tell clips apart."""
        sizes = clips.flatten(1)[:, ::400]
        return torch.nn.functional.pad(sizes, (0, 400))[:, :400]

    monkeypatch.setattr(i3d_weights, "load_i3d", lambda: colours)

    def evaluation(*arguments: str) -> tuple[int, str, str]:
        code = run(["eval", *arguments])
        return (code, *capfd.readouterr())

    return evaluation


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Forty videos of twelve noisy frames."""
    random = np.random.default_rng(0)
    for i in range(40):
        folder = tmp_path / "real" / f"{i:02}"
        folder.mkdir(parents=True)
        for k in range(12):
            noise = random.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{k:02}.png")
    return tmp_path / "real"


@pytest.fixture
def straw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are pixels, distances those of pixels."""

    def embed(clip: np.ndarray) -> np.ndarray:
        return clip.reshape(len(clip), -1)[:, :96].astype(np.float32) + 1

    def apart(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return (images - others).abs().mean(dim=(1, 2, 3))

    monkeypatch.setattr(
        face_networks, "face_network", lambda name: FaceNetwork("straw", "0", embed)
    )
    distance = ImageDistance("straw", "0", apart)
    monkeypatch.setattr(image_distances, "image_distance", lambda name: distance)
    network = FeatureNetwork("means", "", 8, lambda images: images.mean(dim=(2, 3)))
    monkeypatch.setattr(feature_networks, "image_network", lambda name: network)
