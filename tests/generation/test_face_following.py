"""Following a face: requests that cannot be, and a person of a tiny model beside a made-up face."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_networks

from stylefacev_cli.detection.face_mesh import FaceMesh, MeshFace
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.face_following import (
    DrivingFace,
    follows_faces,
    parse_rest,
    poses_of_nobody,
    poses_of_person,
)
from stylefacev_cli.generation.requests import DriverSearchOptions
from stylefacev_cli.motion.face_measures import eye_openings, face_measures, usual_openings
from stylefacev_cli.motion.head_frame import head_frames
from stylefacev_cli.networks.stylefacev.pose_follower import PoseFollower, PoseFollowerConfig
from stylefacev_cli.pipeline import Model, load_model
from stylefacev_cli.weights.bundle import save_bundle
from tests.support.mesh_faces import expression

SMALL = PoseFollowerConfig(num_lip_components=2, hidden=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny model with an untrained follower."""
    folder: Path = tmp_path_factory.mktemp("followed")
    torch.manual_seed(3)
    follower = PoseFollower(SMALL)
    torch.nn.init.normal_(follower.lip_basis)
    networks = replace(tiny_networks(), follower=follower)
    save_bundle(folder, networks, name="followed", fps=12, licence="CC0-1.0", provenance={})
    return load_model(folder, device="cpu")


def face() -> DrivingFace:
    points = np.stack([expression(mouth=0.1 * k, lids=1 - 0.1 * k) for k in (0, 1, 2, 3, 0, 0)])
    heads = head_frames(points)
    measures = face_measures(heads, usual_openings(eye_openings(heads.local)))
    return DrivingFace(measures, measures[0], {})


def test_only_models_with_a_follower_follow(model: Model, tiny_model: Path) -> None:
    plain = load_model(tiny_model, device="cpu").manifest
    assert follows_faces(model.manifest, DriverSearchOptions())
    assert not follows_faces(plain, DriverSearchOptions())
    assert not follows_faces(model.manifest, DriverSearchOptions(crop=False))
    assert not follows_faces(model.manifest, DriverSearchOptions(detector="default-64"))


def test_a_follower_does_not_change_the_pose_space(model: Model, tiny_model: Path) -> None:
    assert model.manifest.pose_space == load_model(tiny_model, device="cpu").manifest.pose_space


@pytest.mark.parametrize("text", ["-1", "1.5", "first", "", "12345678901"])
def test_rest_is_a_frame_or_auto(text: str) -> None:
    assert parse_rest("auto") is None and parse_rest("12") == 12
    with pytest.raises(UsageError, match="--rest"):
        parse_rest(text)


def test_poses_of_a_person_and_of_nobody(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of 16 px show the mesh no face: one is put in its place."""
    shown = expression(mouth=0.05)

    def read(self: FaceMesh, picture: np.ndarray, regions: list[np.ndarray]) -> list[MeshFace]:
        points = (4 * shown + [8, 6, 0] + 0.2 * picture.mean() / 255).astype(np.float32)
        return [MeshFace(points, 1.0) for _ in regions]

    monkeypatch.setattr(FaceMesh, "read", read)
    person = model.person(5)
    followed = {
        relative: poses_of_person(face(), person, relative=relative) for relative in (True, False)
    }
    nobody = poses_of_nobody(face(), model)
    for poses in (*followed.values(), nobody):
        assert poses.shape == (6, 1, 8, 8) and bool(poses.isfinite().all()) and poses.min() >= 0
        assert torch.equal(poses[4], poses[5]) and not torch.equal(poses[0], poses[3])
