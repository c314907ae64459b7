"""From raw footage to a video: `data prepare videos`, `train`, `generate`, as a user runs them.

The footage is drawn: rendered people, who talk and turn, are pasted as heads that wander over a
landscape of 640×360 px. So it is known who is where, and where their landmarks are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.datasets.source_report import read_sources
from stylefacev_cli.detection.crop_window import Window
from stylefacev_cli.faces.dataset import render_clip, sample_latents
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.render_request import RenderSettings
from stylefacev_cli.media import VideoSettings, frame_rate, read_frames, video_writer
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.settings import STAGES, load_settings

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

WIDTH, HEIGHT, HEAD_PX, FPS = 640, 360, 256, 25.0
NUM_PEOPLE, NUM_FRAMES = 4, 12
OUTER_EYE_CORNERS = (60, 72)


@dataclass(frozen=True)
class Footage:
    """Where the videos are, and the landmarks of those who are alone in them."""

    folder: Path
    truth: dict[str, F32]  # [T, 98, 2] px; NaN where nobody or more than one is seen


@dataclass(frozen=True)
class Person:
    frames: U8  # [T, HEAD_PX, HEAD_PX, 3]
    landmarks: F32  # [T, 98, 2] fractions


def rendered_person(studio: LatentRenderer, number: int) -> Person:
    """Rendered small, as videos of the web are soft too."""
    settings = RenderSettings(
        NUM_PEOPLE, NUM_FRAMES, studio.size_px, seed=31, fps=FPS, look="procedural"
    )
    frames, labels = render_clip(studio, sample_latents(settings, number))
    size = HEAD_PX, HEAD_PX
    large = [Image.fromarray(f).resize(size, Image.Resampling.LANCZOS) for f in frames]
    return Person(np.stack([np.asarray(image) for image in large]), labels["landmarks"])


def landscape(seed: int) -> Image.Image:
    """Sky, hills, houses."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0, 1, HEIGHT)[:, None, None]
    low, high = random.integers(60, 220, (2, 3))
    picture = Image.fromarray(np.tile((low + (high - low) * rows).astype(np.uint8), (1, WIDTH, 1)))
    draw = ImageDraw.Draw(picture)
    for depth in range(3):
        x = np.linspace(0, WIDTH, 33)
        waves = np.sin(x / random.integers(60, 120) + random.uniform(0, 6)) * 25
        hill = list(zip(x, HEIGHT * (0.5 + 0.15 * depth) + waves, strict=True))
        colour = tuple(int(c) for c in random.integers(30, 160, 3))
        draw.polygon([*hill, (WIDTH, HEIGHT), (0, HEIGHT)], fill=colour)
    for left, width in zip(random.integers(0, 600, 5), random.integers(20, 60, 5), strict=True):
        top = int(random.integers(150, 260))
        colour = tuple(int(c) for c in random.integers(40, 220, 3))
        draw.rectangle([int(left), top, int(left + width), HEIGHT], fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(1))


def soft_square() -> Image.Image:
    """How much of a pasted head is seen: its rim fades."""
    mask = Image.new("L", (HEAD_PX, HEAD_PX))
    rim = HEAD_PX // 16
    ImageDraw.Draw(mask).rectangle([rim, rim, HEAD_PX - rim, HEAD_PX - rim], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(rim / 2))


def place(i: int, x: float, y: float) -> tuple[int, int]:
    """Left and top of a head that wanders around a place."""
    return round(x + 22 * np.sin(i / 9)), round(y + 8 * np.sin(i / 5))


Scene = list[tuple[Person, float, float, range]]  # who, around where, in which frames


def shoot(path: Path, scene: Scene, num_frames: int, seed: int) -> F32:
    """Write a video; the landmarks of whoever is alone."""
    behind, mask = landscape(seed), soft_square()
    truth = np.full((num_frames, 98, 2), np.nan, np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_writer(path, "mp4", VideoSettings(WIDTH, HEIGHT, FPS)) as writer:
        for i in range(num_frames):
            picture = behind.copy()
            seen = [who for who in scene if i in who[3]]
            for person, x, y, when in seen:
                at = place(i, x, y)
                frame = person.frames[(i - when.start) % NUM_FRAMES]
                picture.paste(Image.fromarray(frame), at, mask)
                if len(seen) == 1:
                    points = person.landmarks[(i - when.start) % NUM_FRAMES]
                    truth[i] = points * HEAD_PX + at
            writer.write(np.asarray(picture))
    return truth


@pytest.fixture(scope="module")
def footage(studio: LatentRenderer, tmp_path_factory: pytest.TempPathFactory) -> Footage:
    raw = tmp_path_factory.mktemp("footage")
    a, b, c, d = (rendered_person(studio, number) for number in range(NUM_PEOPLE))
    start, rest, always = range(9), range(9, 24), range(24)
    scenes: dict[str, tuple[int, Scene]] = {
        "ada/talks.mp4": (12, [(a, 190, 50, always)]),
        "bob/talks.mp4": (12, [(b, 40, 80, always)]),
        "cleo/talks.mp4": (12, [(c, 340, 30, always)]),
        "news/cut.mp4": (24, [(d, 60, 40, start), (b, 340, 70, rest)]),
        "news/guest-comes.mp4": (17, [(d, 40, 50, always), (a, 345, 50, rest)]),
        "news/two.mp4": (5, [(a, 40, 50, always), (c, 345, 50, always)]),
        "rest/empty.mp4": (5, []),
        "rest/short.mp4": (5, [(a, 190, 50, always)]),
    }
    truth = {
        name: shoot(raw / name, scene, length, seed)
        for seed, (name, (length, scene)) in enumerate(scenes.items())
    }
    whole = (raw / "bob/talks.mp4").read_bytes()
    (raw / "rest/torn.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    return Footage(raw, truth)


@pytest.fixture(scope="module")
def prepared(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "people"
    options = ["--detector", "default-64", "--size", "64", "--min-window", "204"]
    options += ["--min-frames", "8", "--search-every", "8", "--val-person", "cleo"]
    assert run(["data", "prepare", "videos", str(footage.folder), str(out), *options]) == 0
    return out


@pytest.mark.render
def test_what_becomes_of_every_video(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = {done.source: done for done in read_sources(prepared)}
    found = {name: [len(s.clips), *(x["reason"] for x in s.skipped)] for name, s in sources.items()}
    assert found == {
        "ada/talks.mp4": [1],
        "bob/talks.mp4": [1],
        "cleo/talks.mp4": [1],
        "news/cut.mp4": [2, "no face"],
        "news/guest-comes.mp4": [1, "two faces"],
        "news/two.mp4": [0, "two faces"],
        "rest/empty.mp4": [0, "no face"],
        "rest/short.mp4": [0, "too short"],
        "rest/torn.mp4": [0, "damaged"],
    }
    assert run(["data", "inspect", str(prepared), "--check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    print(told)
    assert told["clips"] == 6


@pytest.mark.render
def test_landmarks_are_where_they_were_rendered(prepared: Path, footage: Footage) -> None:
    for clip in ClipSet(prepared):
        labels, entry = clip.labels(), clip.entry
        first = int(labels["first_frame"])
        assert entry.source is not None
        truth = footage.truth[entry.source][first : first + entry.num_frames]
        wanted = Window(*labels["window"]).fractions(truth)
        left, right = (wanted[:, corner] for corner in OUTER_EYE_CORNERS)
        errors = np.linalg.norm(labels["landmarks"] - wanted, axis=2).mean(1)
        errors /= np.linalg.norm(left - right, axis=1)
        print(entry.id, first, entry.num_frames, errors.mean(), errors.max())
        assert errors.mean() < 0.1, entry.id


def footage_config() -> dict[str, Any]:
    """What footage can feed: no factors, so nothing is paired; behind the shipped generator."""
    generator = yaml.safe_load(find_config("default-64").read_text())["generator"]
    tiny = yaml.safe_load(find_config("tiny").read_text())
    size = {"batch_size": 4, "num_images": 8}
    return {
        "name": "people",
        "resolution": 64,
        "perceptual": "none",
        "generator": generator,
        "finish": {
            "architecture": generator["architecture"],
            "objective": "adversarial",
            "paired_weight": 0,
            "muon_lr": 0,
            "adam_lr": 0.0005,
            "discriminator": {"img_resolution": 64, "channel_base": 512, "channel_max": 32},
            **size,
        },
        "detector": {"architecture": {"input_size": 64, "stem_stride": 1, "width": 16}, **size},
        "pose": {"architecture": tiny["pose"]["architecture"], **size},
        "appearance": {
            "architecture": tiny["appearance"]["architecture"] | {"num_ws": 10, "w_dim": 256},
            "max_rotation_deg": 0,
            **size,
        },
        "joint": {
            "num_images": 12,
            "num_clips": 2,
            "num_generated": 2,
            "window": {"num_frames": 2, "frame_step": 3, "min_gap": 4, "max_gap": 7},
            "discriminator": {"base_channels": 4, "num_layers": 1},
            "max_rotation_deg": 0,
        },
        "motion": {
            "discriminator": {"base_channels": 4, "max_channels": 8, "num_layers": 2},
            "num_images": 48,
            "num_clips": 2,
            "num_frames": 8,
        },
    }


@pytest.mark.render
def test_footage_trains_a_model_that_makes_videos(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "people.yaml"
    config.write_text(yaml.safe_dump(footage_config()))
    arguments = ["--config", str(config), "--data", str(prepared), "--out", str(tmp_path / "run")]
    assert run(["train", *arguments, "--start-from", "default-64", "--device", "cpu"]) == 0
    for stage in STAGES[1:]:
        assert list((tmp_path / "run" / stage / "checkpoints").iterdir()), stage
    assert load_settings(tmp_path / "run" / "config.yaml", []).start_from == "default-64"
    capsys.readouterr()

    model, out = str(tmp_path / "run" / "bundle"), str(tmp_path / "{seed}.mp4")
    wanted = ["--seeds", "0-1", "--frames", "20", "--out", out, "--device", "cpu"]
    assert run(["generate", "--model", model, *wanted]) == 0
    videos = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert videos == [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for video in videos:
        frames = np.stack(list(read_frames(video)))
        assert frames.shape == (20, 64, 64, 3) and frame_rate(video) == FPS
        assert frames.std() > 10
