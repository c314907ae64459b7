"""Tracking and reenactment by the default model, against rendered truth and known places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.media import VideoSettings, video_writer
from stylefacev_cli.motion.pose_edits import transfer_motion
from stylefacev_cli.motion.pose_tracks import read_track
from stylefacev_cli.networks.stylefacev.landmarks import (
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)
from stylefacev_cli.pipeline import Model, load_model

NUM_PAIRS, NUM_FRAMES, FRAMES_APART = 4, 5, 10


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(device="cpu")


def write_movie(path: Path, frames: list[np.ndarray]) -> None:
    height, width = frames[0].shape[:2]
    with video_writer(path, "mkv", VideoSettings(width, height, 25.0)) as video:
        for frame in frames:
            video.write(frame)


def poses_in(path: Path, *options: str) -> np.ndarray:
    track = path.with_suffix(".safetensors")
    assert run(["track", str(path), "-q", "-o", str(track), "--force", *options]) == 0
    return read_track(track).poses


def test_a_face_in_a_larger_picture_moves_as_it_does(
    model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extractor = model.networks.pose
    assert extractor is not None
    small = list(model.sample(3, 41))[::8]
    large = [
        np.asarray(Image.fromarray(frame).resize((128, 128), Image.Resampling.LANCZOS))
        for frame in small
    ]
    blots = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    behind = np.asarray(Image.fromarray(blots).resize((240, 180), Image.Resampling.BICUBIC))
    pictures = []
    for frame in large:
        picture = behind.copy()
        picture[30:158, 60:188] = frame
        pictures.append(picture)
    write_movie(tmp_path / "square.mkv", large)
    write_movie(tmp_path / "wide.mkv", pictures)
    plain = poses_in(tmp_path / "square.mkv", "--no-crop")
    by_detector = ("--detector", "default-128")
    automatic = poses_in(tmp_path / "square.mkv", *by_detector)
    assert np.array_equal(plain, automatic)  # it is seen that the face fills the frame
    found = poses_in(tmp_path / "wide.mkv", *by_detector)
    assert plain.shape == found.shape == (6, 1, 8, 8)
    # In another window the numbers of a pose are others; what they stand for moves alike.
    moved = []
    for poses in (plain, found):
        points = extractor.key_points(torch.from_numpy(poses)).numpy()
        size = np.linalg.norm(points - points.mean(1, keepdims=True), axis=2).mean()
        moved.append((points - points.mean(0)) / size)  # in sizes of the face
    for other in moved[1:]:
        assert np.linalg.norm(other - moved[0]) < 0.5 * np.linalg.norm(moved[0])


def frames_of(images: list[np.ndarray]) -> torch.Tensor:
    return torch.tensor(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def points_of(model: Model, frames: torch.Tensor) -> np.ndarray:
    """Key points [T, 14, 2], px."""
    detector = model.networks.landmark_detector
    assert detector is not None
    with torch.inference_mode():
        places = landmarks_from_heatmaps(detector((frames + 1) / 2))
    return key_points_from_landmarks(places).numpy() * 64


@pytest.mark.render
def test_reenactment_against_renders(model: Model, studio: Any) -> None:
    """Two people in the same motion: B drives A, and A's own renders are the truth."""
    from stylefacev_cli.faces.motion import sample_motion

    errors: dict[str, list[float]] = {"relative": [], "absolute": [], "copy": []}
    leaks: dict[str, list[float]] = {"relative": [], "absolute": []}
    for number in range(NUM_PAIRS):
        factors = studio.factors
        a, b = (factors.sample(np.random.default_rng([9, number, who])) for who in (1, 2))
        motion = sample_motion(
            factors, np.random.default_rng([10, number]), NUM_FRAMES * FRAMES_APART
        )[::FRAMES_APART]
        truth, driver = (
            frames_of([studio.render(z).image for z in factors.with_poses(who, motion)])
            for who in (a, b)
        )
        appearance, first_pose = model.take_apart(truth[:1])
        poses = model.extract_pose(driver)
        moved = {"absolute": poses, "relative": transfer_motion(first_pose, poses, poses[:1])}
        made = {name: model.render(model.recompose(appearance, p)) for name, p in moved.items()}
        true, driven = points_of(model, truth), points_of(model, driver)
        apart = driven.mean(0) - true.mean(0)  # what B's face has elsewhere than A's
        for name, frames in (*made.items(), ("copy", truth[:1].expand(NUM_FRAMES, -1, -1, -1))):
            found = points_of(model, frames)
            errors[name].append(float(np.linalg.norm(found - true, axis=-1)[1:].mean()))
            if name in leaks:
                shift = found.mean(0) - true.mean(0)
                leaks[name].append(float((shift * apart).sum() / (apart**2).sum()))
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    assert mean["relative"] < 0.5 * mean["copy"] and mean["absolute"] < 0.5 * mean["copy"], mean
    leaked = {name: float(np.mean(values)) for name, values in leaks.items()}
    assert leaked["relative"] < 0.75 * leaked["absolute"], leaked


def test_a_person_follows_another_ones_face_by_the_mesh(
    model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Seed 5 drives seed 8: mouth and eyes go along, and a panned still gives a still face."""
    from stylefacev_cli.detection.face_mesh import FaceMesh
    from stylefacev_cli.generation.face_following import points_of_generated
    from stylefacev_cli.motion.face_signals import SIGNAL_NAMES
    from stylefacev_cli.motion.follow_through import follow_through

    mesh = FaceMesh.load()

    def enlarged(frame: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(frame).resize((256, 256), Image.Resampling.LANCZOS))

    def driven(name: str, frames: list[np.ndarray]) -> np.ndarray:
        write_movie(tmp_path / f"{name}.mkv", frames)
        out = tmp_path / f"{name}.npy"
        arguments = ["--source", "8", "--driving", str(tmp_path / f"{name}.mkv"), "-o", str(out)]
        assert run(["reenact", "-q", *arguments]) == 0
        return np.stack([points_of_generated(mesh, frame) for frame in np.load(out)])

    driver = [enlarged(frame) for frame in list(model.sample(5, 36))[::2]]
    moved = follow_through(
        np.stack([points_of_generated(mesh, frame) for frame in driver]), driven("driver", driver)
    )
    correlation = dict(zip(SIGNAL_NAMES, moved.correlation, strict=True))
    assert min(correlation[name] for name in ("mouth", "yaw")) > 0.8, correlation
    folder = tmp_path / "followed"
    folder.mkdir()
    write_movie(folder / "8.mkv", list(np.load(tmp_path / "driver.npy")))
    capfd.readouterr()
    arguments = ["--fake", str(folder), "--driver", str(tmp_path / "driver.mkv"), "--frames", "18"]
    assert run(["eval", "motion", "--detector", "default-128", "--json", *arguments]) == 0
    told = json.loads(capfd.readouterr().out)["follow_through"]
    assert told["correlation"]["mouth"] == pytest.approx(correlation["mouth"], abs=0.1)
    assert told["per_video"][0]["frames"] == 18 and "mouth" in told["per_video"][0]["clear"]
    panned = [np.pad(driver[0], ((40, 40), (4 * k, 80 - 4 * k), (0, 0)), "edge") for k in range(12)]
    still = driven("panned", panned)
    apart = np.linalg.norm(still[0, 263, :2] - still[0, 33, :2])
    away = np.linalg.norm(still[..., :2] - still[..., :2].mean(0), axis=2)
    assert np.sqrt(np.square(away).mean()) < 0.01 * apart
