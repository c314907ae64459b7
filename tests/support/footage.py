"""Footage for the tests: faces that the default model draws, somewhere in a larger picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylefacev_cli.media import VideoSettings, video_writer

U8 = NDArray[np.uint8]
WIDTH, HEIGHT, FACE_PX = 160, 120, 96


def background(seed: int = 0) -> U8:
    """Soft blots of colour."""
    blots = np.random.default_rng(seed).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    image = Image.fromarray(blots).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(image)


def placed(frames: Iterable[U8], left: int, top: int, behind: U8) -> list[U8]:
    """Frames of a face at a place of a larger picture."""
    pictures = []
    for frame in frames:
        picture = behind.copy()
        side = len(frame)
        part = picture[top : top + side, left : left + side]
        part[:] = frame[: part.shape[0], : part.shape[1]]
        pictures.append(picture)
    return pictures


def write_movie(path: Path, frames: Iterable[U8], fps: float = 25.0) -> None:
    """An mp4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    settings = VideoSettings(frames[0].shape[1], frames[0].shape[0], fps)
    with video_writer(path, "mp4", settings) as writer:
        for frame in frames:
            writer.write(frame)


def face_template() -> NDArray[np.float32]:
    """The 68 points of a face that looks straight ahead, as fractions of FFHQ's square."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.26 * np.cos(angle), 0.48 + 0.36 * np.sin(angle)], 1)
    points[17:22] = np.stack([np.linspace(0.28, 0.44, 5), np.full(5, 0.4)], 1)
    points[22:27] = np.stack([np.linspace(0.56, 0.72, 5), np.full(5, 0.4)], 1)
    points[27:31] = np.stack([np.full(4, 0.5), np.linspace(0.48, 0.6, 4)], 1)
    points[31:36] = np.stack([np.linspace(0.44, 0.56, 5), np.full(5, 0.63)], 1)
    eye = np.array([[-4, 0], [-2, -1.5], [2, -1.5], [4, 0], [2, 1.5], [-2, 1.5]]) / 100
    points[36:42], points[42:48] = eye + [0.375, 0.472], eye + [0.625, 0.472]
    for part, width, height in ((range(48, 60), 0.09, 0.04), (range(60, 68), 0.07, 0.02)):
        angle = np.linspace(np.pi, 3 * np.pi, len(part), endpoint=False)
        around = np.stack([width * np.cos(angle), height * np.sin(angle)], 1)
        points[list(part)] = around + [0.5, 0.735]
    return points.astype(np.float32)
