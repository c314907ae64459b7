"""The file format of latents: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from stylefacev_cli.errors import IntegrityError, StyleFaceVError, UsageError
from stylefacev_cli.motion.pose_tracks import PoseTrack, read_track, write_track
from stylefacev_cli.weights import latents
from stylefacev_cli.weights.convert.exporter import export_model, read_description
from stylefacev_cli.weights.latents import Latent, read_latent, write_latent
from stylefacev_cli.weights.manifest import Manifest, read_manifest

RANDOM = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RANDOM.random(shape).astype(np.float32)


@pytest.fixture(scope="module")
def manifest(tiny_model: Path) -> Manifest:
    return read_manifest(tiny_model)


def latent_of(manifest: Manifest, **changes: Any) -> Latent:
    parts: dict[str, Any] = {
        "appearance": numbers(1, 8, 8, 8), "pose": numbers(1, 1, 8, 8), "ws": numbers(1, 6, 32),
        "residual": numbers(1, 6, 32), "placement": numbers(4), "model": manifest.sha256,
        "tune": {"L0": (numbers(8, 2), numbers(2, 8))}, "origin": {"photo": "ä.jpg"},
    }  # fmt: skip
    return Latent(**parts | changes)


def test_there_and_back(tmp_path: Path, manifest: Manifest) -> None:
    latent = latent_of(manifest)
    write_latent(tmp_path / "deep/a.safetensors", latent)
    write_latent(tmp_path / "b.safetensors", latent)
    again = read_latent(tmp_path / "deep/a.safetensors", manifest)
    for name in ("appearance", "pose", "ws", "residual", "placement"):
        assert np.array_equal(getattr(again, name), getattr(latent, name)), name
    assert again.origin == latent.origin and list(again.tune) == ["L0"]
    for mine, theirs in zip(again.tune["L0"], latent.tune["L0"], strict=True):
        assert np.array_equal(mine, theirs)
    one, other = (tmp_path / name for name in ("b.safetensors", "deep/a.safetensors"))
    assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.safetensors", "deep"]


def wrong_parts() -> dict[str, dict[str, np.ndarray | None]]:
    infinite, huge = numbers(1, 6, 32), numbers(1, 1, 8, 8)
    infinite[0, 2, 3], huge[0] = np.inf, 1e9
    return {
        "shape": {"appearance": numbers(1, 9, 8, 8)},
        "two people": {"pose": numbers(2, 1, 8, 8)},
        "type": {"ws": np.zeros((1, 6, 32))},
        "not finite": {"residual": infinite},
        "huge": {"pose": huge},
        "missing": {"placement": None},
        "more": {"other": numbers(3)},
        "half a change": {"tune.L0.up": numbers(8, 2)},
        "no product": {"tune.L0.up": numbers(8, 2), "tune.L0.down": numbers(3, 8)},
        "no rank": {"tune.L0.up": numbers(8, 0), "tune.L0.down": numbers(0, 8)},
        "rank": {"tune.L0.up": numbers(8, 65), "tune.L0.down": numbers(65, 8)},
        "name": {"tune.../x.up": numbers(8, 2), "tune.../x.down": numbers(2, 8)},
    }


@pytest.mark.parametrize("name", wrong_parts())
def test_wrong_tensors(tmp_path: Path, manifest: Manifest, name: str) -> None:
    latent = latent_of(manifest)
    names = ("appearance", "pose", "ws", "residual", "placement")
    parts = {part: getattr(latent, part) for part in names} | wrong_parts()[name]
    about = {"format": 1, "model": manifest.sha256, "origin": {}}
    path = tmp_path / "l.safetensors"
    whole = {part: values for part, values in parts.items() if values is not None}
    save_file(whole, path, metadata={"stylefacev_latent": json.dumps(about)})
    with pytest.raises(IntegrityError) as told:
        read_latent(path, manifest)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("change", [{"format": 2}, {"model": 3}, {"origin": []}, {"model": None}])
def test_wrong_descriptions(tmp_path: Path, manifest: Manifest, change: dict[str, Any]) -> None:
    about = {"format": 1, "model": manifest.sha256, "origin": {}} | change
    path = tmp_path / "l.safetensors"
    save_file({"pose": numbers(1)}, path, metadata={"stylefacev_latent": json.dumps(about)})
    with pytest.raises(IntegrityError):
        read_latent(path, manifest)


def test_wrong_files(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.safetensors"
    with pytest.raises(UsageError, match="no such latent file"):
        read_latent(path, manifest)
    write_latent(path, latent_of(manifest, model="0" * 64))
    with pytest.raises(UsageError, match="another model"):
        read_latent(path, manifest)
    write_latent(path, latent_of(manifest))
    monkeypatch.setattr(latents, "_MAX_BYTES", 100)
    with pytest.raises(IntegrityError, match="more than any file of its kind"):
        read_latent(path, manifest)


@pytest.mark.parametrize("placement", [(9, 0, 0, 0), (0, -9, 0, 0), (0, 0, 0, -1e4)])
def test_placements_that_no_photo_has(
    tmp_path: Path, manifest: Manifest, placement: tuple[float, ...]
) -> None:
    path = tmp_path / "l.safetensors"
    write_latent(path, replace(latent_of(manifest), placement=np.array(placement, np.float32)))
    with pytest.raises(IntegrityError, match="further than any photo"):
        read_latent(path, manifest)


def test_people_outlive_a_manifest_that_is_only_rewritten(
    tmp_path: Path, tiny_model: Path, manifest: Manifest
) -> None:
    """Latents name the hash of the manifest, tracks those of networks: both still load."""
    person, motion = tmp_path / "me.safetensors", tmp_path / "track.safetensors"
    write_latent(person, latent_of(manifest))
    write_track(motion, PoseTrack(numbers(3, 1, 8, 8), 25.0, str(manifest.pose_space)))
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    content = yaml.safe_load((folder / "bundle.yaml").read_text())

    def rewritten(**changes: Any) -> Manifest:
        (folder / "bundle.yaml").write_text(yaml.safe_dump(content | changes, sort_keys=False))
        return read_manifest(folder)

    forgetful = rewritten(fps=24.0)
    assert forgetful.sha256 != manifest.sha256
    with pytest.raises(UsageError, match="another model"):
        read_latent(person, forgetful)
    older = "0" * 64
    mindful = rewritten(fps=24.0, aliases=[older, manifest.sha256])
    assert read_latent(person, mindful).model == manifest.sha256
    assert len(read_track(motion, mindful)) == 3
    assert mindful.is_named_by(older) and mindful.is_named_by(mindful.sha256)
    for wrong in (["x"], ["A" * 64], [older] * 65):
        with pytest.raises(IntegrityError, match="aliases"):
            rewritten(aliases=wrong)

    export_model(rewritten(aliases=[older]).folder, tmp_path / "out")
    description = read_description(tmp_path / "out")
    assert description is not None and description.aliases == (older,)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_refused_or_sane(
    tmp_path: Path, manifest: Manifest, data: st.DataObject
) -> None:
    """Cut, or with bytes changed (in the header above all): told on one line, or sane numbers."""
    path = tmp_path / "l.safetensors"
    write_latent(path, latent_of(manifest))
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        places = st.integers(0, 900) | st.integers(0, len(whole) - 1)
        for at in data.draw(st.lists(places, min_size=1, max_size=8)):
            whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        latent = read_latent(path, manifest)
    except StyleFaceVError as error:
        assert str(path) in str(error)
    else:
        assert latent.appearance.shape == (1, 8, 8, 8) and latent.ws.shape == (1, 6, 32)
        assert all(np.abs(part).max() <= 1e4 for part in (latent.ws, latent.residual))
