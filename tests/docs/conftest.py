"""A folder in which the documentation's commands run, with the tiny model for the shipped ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from discs import draw_frames, write_discs
from doc_blocks import ROOT
from PIL import Image
from tiny import TINY_FPS, tiny_networks

SIDE_PX = 64  # of photos and clips: faces of less than 48 px are refused

# What commands of the documentation leave to the defaults, smaller.
SETTINGS = """
generate: {frames: 16}
invert: {steps: 2}
"""


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shipped models and configs: tiny ones under the names of the real ones."""
    from stylefacev_cli.weights.bundle import save_bundle

    folder = tmp_path_factory.mktemp("shipped")
    for name in ("default-128", "default-64"):
        save_bundle(
            folder / name,
            tiny_networks(),
            name=name,
            fps=TINY_FPS,
            licence="CC0-1.0",
            provenance={"made": "for tests, from random numbers"},
        )
    return folder


@pytest.fixture(scope="session")
def inputs(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, clips and sets under the names that the documentation gives them."""
    from stylefacev_cli.media import VideoSettings, video_writer
    from stylefacev_cli.pipeline import load_model

    folder = tmp_path_factory.mktemp("inputs")
    model = load_model(shipped / "default-128", device="cpu")
    images = [Image.fromarray(frame) for frame in model.sample(7, 50)]
    frames = [np.asarray(image.resize((SIDE_PX, SIDE_PX))) for image in images]
    Image.fromarray(frames[0]).save(folder / "me.jpg")
    for name in ("clip.mp4", "cut-already/person/1.mp4"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = VideoSettings(SIDE_PX, SIDE_PX, TINY_FPS)
        with video_writer(path, "mp4", settings) as writer:
            for frame in frames:
                writer.write(frame)
    write_discs(draw_frames(4, 40), folder / "data" / "clips")
    return folder


class WholePicture:
    """In place of a detector's search: a face that fills the picture."""

    @staticmethod
    def find(finder: object, picture: np.ndarray) -> list[object]:
        from stylefacev_cli.detection.face_finders import Face

        angle = np.linspace(0, 2 * np.pi, 98, endpoint=False)
        points = 0.45 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points[60:68], points[68:76], points[54] = [-0.13, -0.05], [0.13, -0.05], [0, 0.1]
        landmarks = ((points + 0.5) * picture.shape[0]).astype(np.float32)
        box = np.array([0, 0, *picture.shape[1::-1]], np.float32)
        return [Face(landmarks, np.ones(98, np.float32), box)]

    @staticmethod
    def track(finder: object, frames: Iterator[np.ndarray], rule: object, name: str) -> object:
        from stylefacev_cli.detection.face_finders import Track

        found = [(WholePicture.find(finder, frame)[0], frame.shape) for frame in frames]
        landmarks, scores = (
            np.stack([getattr(face, part) for face, _ in found]) for part in ("landmarks", "scores")
        )
        height, width = found[0][1][:2]
        return Track(landmarks, scores, [None] * len(found), width, height)


@pytest.fixture
def place(
    shipped: Path, inputs: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The working folder of a page: inputs, settings, no network."""
    from stylefacev_cli.detection.mesh_finder import MeshFinder

    folder = tmp_path / "place"
    folder.mkdir()
    for path in inputs.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "tests").symlink_to(ROOT / "tests")
    (folder / "stylefacev.yaml").write_text(SETTINGS)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("stylefacev_cli.weights.locate.shipped_folder", lambda: shipped)
    monkeypatch.setattr(MeshFinder, "find", WholePicture.find)
    monkeypatch.setattr(MeshFinder, "track", WholePicture.track)
    for name in ("STYLEFACEV_MODEL", "STYLEFACEV_FRAMES", "STYLEFACEV_OUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    monkeypatch.setenv("STYLEFACEV_DEVICE", "cpu")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield folder
