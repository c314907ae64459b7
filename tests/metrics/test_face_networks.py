from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stylefacev_cli.errors import DataError, IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.metrics.face_networks import arcface_features, face_network, read_arcface
from stylefacev_cli.networks.features.iresnet import IResNet50


def test_names_and_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="arcface-iresnet50, dlib-face"):
        face_network("vgg-face")
    # A licence that has to be accepted is never accepted by asking for a number.
    with pytest.raises(UsageError, match="weights download arcface-iresnet50"):
        face_network("arcface-iresnet50")
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="dlib_face_recognition"):
        face_network("auto")


def test_arcface_reads_its_file_strictly_and_sees_aligned_faces(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = IResNet50().state_dict()
    path = tmp_path / "iresnet50.pth"
    torch.save(state, path)
    features = arcface_features(read_arcface(path))
    faces = np.random.default_rng(0).integers(0, 256, size=(2, 112, 112, 3), dtype=np.uint8)
    found = features(faces)
    assert found.shape == (2, 512) and found.dtype == np.float32
    np.testing.assert_allclose(features(faces[1:])[0], found[1], rtol=1e-3, atol=1e-4)
    del state["layer3.13.bn3.weight"]
    torch.save(state, path)
    with pytest.raises(IntegrityError, match="layer3.13.bn3.weight"):
        read_arcface(path)
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(IntegrityError, match="web page, not weights"):
        read_arcface(path)


def test_dlib_gives_a_row_for_each_frame() -> None:
    try:
        network = face_network("dlib-face")
    except MissingWeightsError as error:
        pytest.skip(f"dlib's network cannot be had: {error}")
    assert (network.name, len(network.sha256)) == ("dlib-face", 64)
    frames = np.random.default_rng(0).integers(0, 256, size=(2, 64, 64, 3), dtype=np.uint8)
    found = network.embed(frames)
    assert found.shape == (2, 128) and found.dtype == np.float32 and np.isfinite(found).all()
    np.testing.assert_allclose(network.embed(frames[1:])[0], found[1], atol=1e-5)
    with pytest.raises(DataError, match="64×48"):
        network.embed(frames[:, :48])
