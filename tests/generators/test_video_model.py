"""Models of other kinds: one interface, and what a plug-in may not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from other_kinds import install_plugin, install_toy, write_model

from stylefacev_cli.common.seeding import latent_of_seed
from stylefacev_cli.errors import (
    IntegrityError,
    MissingWeightsError,
    StyleFaceVError,
    UsageError,
)
from stylefacev_cli.generators.interface import as_pictures
from stylefacev_cli.generators.video_model import VideoModel
from stylefacev_cli.networks.baselines.mocogan_hd_motion import (
    LatentMotionConfig,
    LatentMotionSampler,
)
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.pipeline import load_model, load_own_model
from stylefacev_cli.weights.bundle import write_bundle
from stylefacev_cli.weights.kinds import KINDS


def load(folder: Path) -> VideoModel:
    model = load_model(folder, "cpu")
    assert isinstance(model, VideoModel)
    return model


def video(model: VideoModel, *args: int, **kwargs: float) -> np.ndarray:
    return np.stack(list(model.sample(*args, **kwargs)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_samples(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path, kind, fps=12)
    model = load(tmp_path)
    assert (model.fps, model.resolution, model.manifest.kind) == (12, 16, kind)
    frames = video(model, 3, 20, motion_seed=5)
    assert frames.shape == (20, 16, 16, 3) and frames.dtype == np.uint8
    assert (video(model, 3, 13, motion_seed=5) == frames[:13]).all()  # a beginning of it
    assert (video(model, 3, 20, motion_seed=6) != frames).any()
    assert (video(model, 4, 20, motion_seed=5) != frames).any()
    assert (video(model, 5, 2) == video(model, 5, 2, motion_seed=5)).all()
    assert np.ptp(frames.astype(int), axis=0).max() > 0  # it moves
    with pytest.raises(UsageError, match="seed -1"):
        model.sample(-1, 2)


def test_mocogan_hd_over_a_stylegan3(tmp_path: Path) -> None:
    """As StyleFaceV's authors compared it; the first frame is the generator's own."""
    torch.manual_seed(1)
    image = Generator(
        GeneratorConfig(
            z_dim=16, w_dim=16, img_resolution=16, channel_base=256, channel_max=8, num_layers=4
        )
    ).eval()
    motion = LatentMotionSampler(LatentMotionConfig(16, 10, 12))
    networks = {"generator": image, "latent_motion": motion}
    manifest = write_bundle(
        tmp_path,
        {name: network.state_dict() for name, network in networks.items()},
        {name: network.config for name, network in networks.items()},
        name="re",
        fps=10,
        licence="x",
        provenance={},
    )
    assert manifest.kind == "mocogan-hd"
    frames = video(load(tmp_path), 3, 5)
    with torch.inference_mode():
        own = as_pictures(image(latent_of_seed(3, 16)).clamp(-1, 1))[0]
    assert abs(frames[0].astype(int) - own).max() <= 1
    assert (frames[1:] != frames[:1]).any()


@pytest.mark.parametrize("kind", ["stylegan-v", "digan"])
def test_no_truncation_is_left_at_zero(kind: str, tmp_path: Path) -> None:
    """At truncation 0 all seeds are the mean face."""
    write_model(tmp_path, kind)
    model = load(tmp_path)
    one, other = (video(model, seed, 4, motion_seed=1, truncation=0) for seed in (1, 2))
    assert (one == other).all()
    assert (video(model, 1, 4, motion_seed=1) != one).any()


def test_mocogan_hd_refuses_truncation(tmp_path: Path) -> None:
    write_model(tmp_path, "mocogan-hd")
    with pytest.raises(UsageError, match="truncation"):
        load(tmp_path).sample(0, 2, truncation=0.7)


def test_own_networks_are_asked_for(tmp_path: Path) -> None:
    write_model(tmp_path, "digan")
    with pytest.raises(UsageError, match="of the kind digan: eval x needs one of StyleFaceV's own"):
        load_own_model(tmp_path, "eval x")
    with pytest.raises(UsageError, match="float32 only"):
        load_model(tmp_path, "cpu", "bfloat16")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    write_model(tmp_path, "digan")
    path = tmp_path / "digan.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        load_model(tmp_path)


def plugin_model(folder: Path, kind: str = "lab", **changed: object) -> Path:
    model = folder / "model"
    model.mkdir()
    content = {
        "format": 1, "name": "mine", "kind": kind, "resolution": 8, "fps": 5.0, "licence": "x",
        "provenance": {}, "architecture": {}, "files": {}, **changed,
    }  # fmt: skip
    (model / "bundle.yaml").write_text(yaml.safe_dump(content))
    return model


PLUGIN = """
import numpy as np

class Lab:
    fps, resolution = 5.0, {resolution}
    def sample(self, seed, num_frames, motion_seed, truncation):
        return iter([np.zeros({shape}, np.uint8)] * min(num_frames, 3))

def load(manifest, device):
    return Lab()
"""


def installed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, source: str, entry: str = "lab = lab_plugin:load"
) -> None:
    packages = folder / "packages"
    packages.mkdir()
    install_plugin(packages, source, entry, "lab_plugin")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(__import__("sys").modules, "lab_plugin", raising=False)


def test_the_example_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install_toy(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = load(folder)
    frames = video(model, 1, 10)
    assert frames.shape == (10, 64, 64, 3)
    assert (video(model, 1, 4) == frames[:4]).all() and (video(model, 2, 10) != frames).any()


def test_frames_of_a_plugin_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path, PLUGIN.format(resolution=8, shape=(8, 8)))
    model = load(plugin_model(tmp_path))
    with pytest.raises(StyleFaceVError, match=r"not of uint8 \(8, 8, 3\); mend the plug-in lab"):
        list(model.sample(0, 1))


def test_a_plugin_that_ends_early_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path, PLUGIN.format(resolution=8, shape=(8, 8, 3)))
    model = load(plugin_model(tmp_path))
    assert len(list(model.sample(0, 3))) == 3
    with pytest.raises(StyleFaceVError, match="ended after 3 of 4 frames"):
        list(model.sample(0, 4))


def test_a_plugin_of_another_size_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path, PLUGIN.format(resolution=16, shape=(8, 8, 3)))
    with pytest.raises(IntegrityError, match="resolution and fps"):
        load_model(plugin_model(tmp_path))


def test_a_broken_plugin_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path, "import no_such_package\n")
    with pytest.raises(StyleFaceVError, match="lab_plugin:load of the kind lab cannot be loaded"):
        load_model(plugin_model(tmp_path))


def test_a_missing_plugin_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="no plug-in for models of the kind nobody"):
        load_model(plugin_model(tmp_path, "nobody"))


def test_a_plugin_cannot_take_a_name_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = PLUGIN.format(resolution=8, shape=(8, 8, 3))
    installed(monkeypatch, tmp_path, source, "digan = lab_plugin:load")
    write_model(tmp_path / "digan", "digan")
    assert load(tmp_path / "digan").resolution == 16
