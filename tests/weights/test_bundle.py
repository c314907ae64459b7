"""A bundle: it comes back as it was saved, and nothing damaged or foreign is taken."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import TINY_RESOLUTION_PX, tiny_networks

from stylefacev_cli.errors import IntegrityError, MissingWeightsError, StyleFaceVError
from stylefacev_cli.weights import locate
from stylefacev_cli.weights.bundle import Networks, load_bundle, save_bundle
from stylefacev_cli.weights.locate import find_bundle
from stylefacev_cli.weights.manifest import VIDEO_NETWORKS, read_manifest


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def edit(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = model / "bundle.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def rewrite(model: Path, network: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change a weights file and make its hash fit again."""
    path = model / f"{network}.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    data = path.read_bytes()
    record = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    edit(model, lambda content: content["files"].update({path.name: record}))


def test_round_trip(tmp_path: Path) -> None:
    networks = tiny_networks(seed=5)
    saved = save_bundle(
        tmp_path / "m", networks, name="m", fps=15, licence="CC0-1.0", provenance={}, half=False
    )
    bundle = load_bundle(tmp_path / "m")
    assert bundle.manifest == saved
    assert (saved.name, saved.resolution, saved.fps) == ("m", TINY_RESOLUTION_PX, 15.0)
    assert saved.sha256 == hashlib.sha256((tmp_path / "m" / "bundle.yaml").read_bytes()).hexdigest()
    for name in VIDEO_NETWORKS:
        before, after = getattr(networks, name), getattr(bundle.networks, name)
        assert after.config == before.config
        assert not after.training and not any(p.requires_grad for p in after.parameters())
        state = after.state_dict()
        for key, tensor in before.state_dict().items():
            assert torch.equal(state[key], tensor) and state[key].dtype == tensor.dtype, key


def test_a_wrong_normalisation_is_refused(model: Path) -> None:
    edit(model, lambda content: content["architecture"]["appearance"].update(normalisation="batch"))
    with pytest.raises(IntegrityError, match="normalisation 'batch' is not running or per_image"):
        load_bundle(model)


def test_half_precision_is_small_and_loaded_as_float32(tmp_path: Path) -> None:
    networks = tiny_networks()
    common: dict[str, Any] = {"name": "m", "fps": 15, "licence": "CC0-1.0", "provenance": {}}
    whole = save_bundle(tmp_path / "whole", networks, half=False, **common)
    half = save_bundle(tmp_path / "half", networks, half=True, **common)
    assert half.files["appearance"].bytes < whole.files["appearance"].bytes
    bundle = load_bundle(tmp_path / "half")
    weight = bundle.networks.appearance.fc_a.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, networks.appearance.fc_a.weight, rtol=1e-3, atol=1e-6)


def test_saving_keeps_other_files_and_refuses_what_is_not_finite(tmp_path: Path) -> None:
    (tmp_path / "MODEL_CARD.md").touch()
    networks = tiny_networks()
    save_bundle(tmp_path, networks, name="m", fps=15, licence="x", provenance={})
    assert len(list(tmp_path.iterdir())) == 7
    with torch.no_grad():
        networks.motion.b[0] = torch.nan
    with pytest.raises(IntegrityError, match=r"motion: b holds"):
        save_bundle(tmp_path, networks, name="m", fps=15, licence="x", provenance={})


def test_where_models_are(tiny_model: Path, tmp_path: Path) -> None:
    assert find_bundle(tiny_model) == tiny_model
    for missing in ("nobody", "", "~nobody-at-all/m", str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(MissingWeightsError):
            find_bundle(missing)
    (tmp_path / "model.pkl").touch()
    with pytest.raises(MissingWeightsError):
        find_bundle(tmp_path / "model.pkl")


def test_shipped_models_have_names(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "shipped_folder", lambda: tiny_model.parent)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()  # a folder of that name does not come in between
    assert find_bundle("tiny") == tiny_model
    with pytest.raises(MissingWeightsError, match=r"unknown model 'nobody'.* \(tiny\)"):
        find_bundle("nobody")


def test_a_partial_model_says_what_it_lacks(tmp_path: Path) -> None:
    networks = tiny_networks()
    some = Networks(networks.generator, landmarks=networks.landmarks, detector=networks.landmarks)
    common: dict[str, Any] = {"fps": 15, "licence": "CC0-1.0", "provenance": {}}
    saved = save_bundle(tmp_path / "m", some, name="m", **common)
    bundle = load_bundle(tmp_path / "m")
    assert list(bundle.manifest.files) == ["generator", "landmarks", "detector"]
    assert list(bundle.networks.present()) == list(saved.files)
    assert saved.missing == ("pose", "appearance", "motion")
    with pytest.raises(MissingWeightsError, match="m cannot make videos: it lacks pose, appear"):
        saved.check_complete()
    whole = save_bundle(tmp_path / "w", networks, name="w", **common)
    whole.check_complete()


def test_missing_file(model: Path) -> None:
    (model / "pose.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=r"pose\.safetensors"):
        load_bundle(model)


@pytest.mark.parametrize("network", VIDEO_NETWORKS)
def test_a_changed_byte_is_found(model: Path, network: str) -> None:
    path = model / f"{network}.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{network}.safetensors is damaged: its SHA-256"):
        load_bundle(model)
    path.write_bytes(data[:-1])
    with pytest.raises(IntegrityError, match="bytes"):
        load_bundle(model)


def test_names_are_matched_strictly(model: Path) -> None:
    def rename(tensors: dict[str, torch.Tensor]) -> None:
        tensors["bb"] = tensors.pop("b")

    rewrite(model, "motion", rename)
    with pytest.raises(IntegrityError, match="it lacks b and has bb too many"):
        load_bundle(model)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.zeros(3), r"b is \[3\], but the architecture makes it \[64\]"),
        (torch.zeros(64, dtype=torch.int64), "b has the type I64"),
        (torch.full((64,), torch.inf), "b holds numbers that are not finite"),
    ],
)
def test_shapes_types_and_numbers_are_checked(model: Path, value: torch.Tensor, told: str) -> None:
    rewrite(model, "motion", lambda tensors: tensors.update(b=value))
    with pytest.raises(IntegrityError, match=told):
        load_bundle(model)


def test_a_file_that_is_no_safetensors(model: Path) -> None:
    data = b"\xff" * 100
    (model / "pose.safetensors").write_bytes(data)
    record = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    edit(model, lambda content: content["files"].update({"pose.safetensors": record}))
    with pytest.raises(IntegrityError, match=r"cannot read .*pose\.safetensors"):
        load_bundle(model)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(format=2), "format 2 is not 1"),
        (lambda c: c.pop("format"), "format None is not 1"),
        (lambda c: c.update(extra=1), "unknown key 'extra'"),
        (lambda c: c.pop("fps"), "'fps' is missing"),
        (lambda c: c.update(fps=0), "fps 0"),
        (lambda c: c.update(fps=float("nan")), "finite"),
        (lambda c: c.update(name="../x"), "name must be"),
        (lambda c: c.update(licence="\x1b[2J"), "control characters"),
        (lambda c: c["architecture"].update(detector={}), "files.detector"),
        (lambda c: c.update(resolution=32), "generator.img_resolution"),
        (lambda c: c.update(resolution="16"), "whole number"),
        (lambda c: c.pop("files"), "'files' is missing"),
        (lambda c: c["files"].pop("pose.safetensors"), "files.pose"),
        (lambda c: c["files"].update({"../a": {}}), "unknown key '../a'"),
        (lambda c: c["files"]["pose.safetensors"].update(sha256="0"), "64 hexadecimal digits"),
        (lambda c: c["files"]["pose.safetensors"].update(bytes=-1), "cannot be"),
        (lambda c: c["architecture"].pop("pose"), "'pose' is missing"),
        (lambda c: c["architecture"].update(face={}), "unknown key 'face'"),
        (lambda c: c["architecture"]["pose"].update(depth=3), "pose: unknown key 'depth'"),
        (lambda c: c["architecture"]["motion"].update(hidden_dim=True), "whole number"),
        (lambda c: c["architecture"]["motion"].update(hidden_dim=10**9), "cannot be"),
        (lambda c: c["architecture"]["motion"].update(hidden_dim=20000), "larger than"),
        (lambda c: c["architecture"]["motion"].update(hidden_dim=-4), "architecture of motion"),
        (lambda c: c["architecture"]["motion"].update(hidden_dim=9), "but the architecture"),
        (lambda c: c["architecture"]["motion"].update(pose_dim=65), "motion and pose"),
        (lambda c: c["architecture"]["generator"].update(num_layers=2), "num_ws|agree"),
        (lambda c: c["architecture"]["appearance"].update(w_dim=64), "agree on the ws"),
        (lambda c: c["architecture"]["generator"].update(c_dim=4), "without labels"),
        (lambda c: c["architecture"]["landmarks"].update(width=7), "multiple of 8"),
        (lambda c: c["architecture"]["landmarks"].update(input_size=128), "heatmaps"),
        (lambda c: c["architecture"]["pose"].update(channels=[8, 4, 1] * 50), "list"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy on an absurd number of layers
def test_manifest_is_checked(model: Path, change: Callable[[Any], object], told: str) -> None:
    edit(model, change)
    with pytest.raises(IntegrityError, match=told) as caught:
        load_bundle(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "a: [",
        "format: 1\nformat: 1\n",
        "a: &x [1]\nb: *x\n",
        "!!python/object/apply:os.system ['true']",
        "[" * 5000,
        "\x00",
        "format: 1 # " + "x" * 2**20,
    ],
)
def test_hostile_yaml(model: Path, text: str) -> None:
    (model / "bundle.yaml").write_text(text)
    with pytest.raises(IntegrityError):
        read_manifest(model)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
keys = st.sampled_from(
    ["format", "name", "resolution", "fps", "licence", "architecture", "provenance", "files"]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(change=st.dictionaries(keys | st.text(max_size=5), trees, min_size=1, max_size=3))
def test_any_manifest_is_read_or_refused(model: Path, change: dict[str, Any]) -> None:
    path = model / "bundle.yaml"
    original = path.read_bytes()
    try:
        edit(model, lambda content: content.update(change))
        load_bundle(model)
    except StyleFaceVError as error:
        assert "\n" not in str(error)
    finally:
        path.write_bytes(original)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=200))
def test_any_bytes_as_manifest(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "bundle.yaml").write_bytes(data)
    with pytest.raises(IntegrityError):
        read_manifest(folder)
