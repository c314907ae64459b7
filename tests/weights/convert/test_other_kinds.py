"""Released files of other kinds become models with the same weights, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from other_kinds import (
    digan_snapshot,
    mocogan_hd_files,
    networks_of,
    stylegan_v_snapshot,
)
from torch import nn

from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.weights.bundle import load_networks
from stylefacev_cli.weights.convert.importer import Imported, import_model
from stylefacev_cli.weights.requests import ImportRequest, NetworkFiles


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path / "home"))
    return tmp_path


def imported(kind: str, files: NetworkFiles, **options: object) -> Imported:
    request = ImportRequest(name="it", kind=kind, files=files, force=True, **options)  # type: ignore[arg-type]
    return import_model(request)


def check_same(result: Imported, networks: dict[str, nn.Module]) -> None:
    found = load_networks(result.manifest)
    assert set(found) == set(networks)
    for name, network in networks.items():
        assert found[name].config == network.config
        for key, tensor in network.state_dict().items():
            assert torch.equal(found[name].state_dict()[key], tensor), f"{name}: {key}"


def snapshot(kind: str, home: Path, protocol: int = 4, **changed: object) -> NetworkFiles:
    network = next(iter(networks_of(kind).values()))
    write = {"stylegan-v": stylegan_v_snapshot, "digan": digan_snapshot}[kind]
    path = home / "network-snapshot-000001.pkl"
    path.write_bytes(write(network, protocol, **changed))  # type: ignore[arg-type]
    return NetworkFiles(generator=path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", ["stylegan-v", "digan"])
def test_snapshots(kind: str, protocol: int, home: Path) -> None:
    result = imported(kind, snapshot(kind, home, protocol))
    check_same(result, networks_of(kind))
    manifest = result.manifest
    assert (manifest.kind, manifest.fps) == (kind, {"stylegan-v": 30.0, "digan": 8.0}[kind])
    assert "non-commercial" in manifest.licence
    assert "the Python source in it was not run" in result.notes


def test_rate_and_licence_can_be_said(home: Path) -> None:
    result = imported("digan", snapshot("digan", home), fps=12.0, licence="mine")
    assert (result.manifest.fps, result.manifest.licence) == (12.0, "mine")


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("stylegan-v", {"use_noise": True}, "cfg.use_noise is 'True', not False"),
        ("stylegan-v", {"motion": {}}, "cfg.motion.gen_strategy|cfg.motion.z_dim is missing"),
        ("stylegan-v", {"z_dim": "${nowhere.z}"}, "z_dim"),
        ("stylegan-v", {"z_dim": 17}, "is \\[16, 16\\], not \\[16, 17\\]"),
        ("digan", {"upsampling_mode": "bilinear"}, "upsampling_mode is 'bilinear'"),
        ("digan", {"num_extra_convs": {"16": 2}}, "its grids differ"),
        ("digan", {"fmm": {"rank": 3}}, "does not fit its architecture"),
        ("digan", {"fmm": {"rank": 10**9}}, "cannot be"),
        ("digan", {"fmm": {"rank": "ten"}}, "rank"),
        ("digan", {"num_extra_convs": {"16": [1]}}, "malformed"),
        ("digan", {"coords": {"kernel_size": 1, "res_configs": 3}}, "grids differ"),
        ("stylegan-v", {"z_dim": [1, 2]}, "z_dim"),
        ("stylegan-v", {"time_enc": 5}, "num_frequencies"),
    ],
)
def test_other_settings_are_refused(
    kind: str, changed: dict[str, object], message: str, home: Path
) -> None:
    with pytest.raises(IntegrityError, match=message):
        imported(kind, snapshot(kind, home, **changed))
    assert not (home / "home" / "models" / "it").exists()


def test_a_snapshot_of_the_other_kind_is_refused(home: Path) -> None:
    with pytest.raises(IntegrityError, match="is it a snapshot of the kind digan"):
        imported("digan", snapshot("stylegan-v", home))


@pytest.mark.parametrize("stored_noise", [True, False])
def test_mocogan_hd(stored_noise: bool, home: Path) -> None:
    networks = mocogan_hd_files(home)
    if not stored_noise:
        content = torch.load(home / "generator.pt")
        content["g_ema"] = {k: v for k, v in content["g_ema"].items() if "noises" not in k}
        torch.save(content, home / "generator.pt")
        for buffer in networks["stylegan2"].noises.buffers():  # type: ignore[union-attr]
            buffer.zero_()
    files = NetworkFiles(generator=home / "generator.pt", motion=home / "motion.pth")
    result = imported("mocogan-hd", files, pca=home)
    check_same(result, networks)
    assert result.manifest.fps == 10
    assert any("noise maps" in note for note in result.notes) != stored_noise


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (np.zeros((4, 16)), "do not fit"),
        (np.zeros((16, 15)), "do not fit"),
        (np.zeros((16, 16, 1)), "not 2 axes of real numbers"),
        (np.zeros((16, 16), int), "not 2 axes of real numbers"),
        (np.full((16, 16), np.nan), "not finite"),
        (np.array([[None]]), "more than numbers"),
    ],
)
def test_wrong_components_are_refused(components: np.ndarray, message: str, home: Path) -> None:
    mocogan_hd_files(home)
    np.save(home / "pca_comp.npy", components)
    files = NetworkFiles(generator=home / "generator.pt", motion=home / "motion.pth")
    with pytest.raises(IntegrityError, match=message):
        imported("mocogan-hd", files, pca=home)


def test_cut_components_are_refused(home: Path) -> None:
    mocogan_hd_files(home)
    path = home / "pca_stdev.npy"
    data = path.read_bytes()
    files = NetworkFiles(generator=home / "generator.pt", motion=home / "motion.pth")
    for cut, message in ((data[:-1], "is damaged"), (data[:9], "is damaged")):
        path.write_bytes(cut)
        with pytest.raises(IntegrityError, match=message):
            imported("mocogan-hd", files, pca=home)


def test_what_a_kind_does_not_have_is_refused_by_name(home: Path) -> None:
    generator = Path("g.pkl")
    with pytest.raises(UsageError, match="--motion: a model of the kind digan has none"):
        imported("digan", NetworkFiles(generator=generator, motion=generator))
    with pytest.raises(UsageError, match="--pca: a model of the kind stylegan-v has none"):
        imported("stylegan-v", NetworkFiles(generator=generator), pca=home)
    with pytest.raises(UsageError, match="--archive: a model of the kind digan has none"):
        imported("digan", NetworkFiles(generator=generator), archive=home)
    with pytest.raises(MissingWeightsError, match="needs --motion and --pca"):
        imported("mocogan-hd", NetworkFiles(generator=generator))
    with pytest.raises(UsageError, match="--pca is of --kind mocogan-hd"):
        imported("stylefacev", NetworkFiles(generator=generator), pca=home)


def test_a_state_dict_is_no_snapshot(home: Path) -> None:
    mocogan_hd_files(home)
    with pytest.raises(IntegrityError, match="is no snapshot"):
        imported("digan", NetworkFiles(generator=home / "generator.pt"))
    files = NetworkFiles(generator=home / "motion.pth", motion=home / "generator.pt")
    with pytest.raises(IntegrityError, match="holds no motion of MoCoGAN-HD"):
        imported("mocogan-hd", files, pca=home)
