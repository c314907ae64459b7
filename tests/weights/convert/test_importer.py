"""Files in the original formats become models, and models become such files again, bit for bit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from leftovers import gone_process, left_by
from persistence_pickles import snapshot_of
from released_files import fill, write_released
from safetensors.torch import load_file, save_file
from tiny import RELEASED_GENERATOR, tiny_networks

from stylefacev_cli import load_model
from stylefacev_cli.cli.app import run
from stylefacev_cli.errors import (
    IntegrityError,
    MissingWeightsError,
    StyleFaceVError,
    StyleFaceVWarning,
    UsageError,
)
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.weights import locate
from stylefacev_cli.weights.api import import_model
from stylefacev_cli.weights.bundle import load_bundle, save_bundle
from stylefacev_cli.weights.convert import importer
from stylefacev_cli.weights.convert.exporter import export_model
from stylefacev_cli.weights.convert.file_names import EXPORT_NAMES
from stylefacev_cli.weights.downloads.cache import path_of
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.manifest import Manifest, read_manifest
from stylefacev_cli.weights.requests import ImportRequest


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files under the published names."""
    return write_released(tmp_path_factory.mktemp("released"))


def given(released: Path) -> dict[str, Path]:
    files = {name: released / EXPORT_NAMES[name] for name in EXPORT_NAMES}
    return files | {"generator": released / "network-snapshot-005000.pkl"}


def test_all_files_make_a_model(released: Path, home: Path) -> None:
    imported = import_model("mine", **given(released))
    manifest = imported.manifest
    assert manifest.folder == home / "models" / "mine"
    assert (manifest.resolution, manifest.fps, manifest.missing) == (32, 15.0, ())
    assert "CC-BY-NC-4.0" in manifest.licence and "NVIDIA" in manifest.licence
    notes = "; ".join(imported.notes)
    assert "landmarks: the prefix 'module.' was taken off 281 names" not in notes  # of 281 + …
    assert "landmarks: the prefix 'module.' was taken off" in notes
    assert "detector: 2 tensors of the hourglasses beyond the first were left out" in notes
    assert "generator: G_ema taken of D, G, G_ema" in notes

    networks = load_bundle("mine").networks.present()
    assert list(networks) == ["generator", "landmarks", "pose", "appearance", "motion", "detector"]
    for name, network in networks.items():
        if name == "generator":
            continue
        content = torch.load(released / EXPORT_NAMES[name], weights_only=True)
        content = content.get("state_dict", content)
        for key, tensor in network.state_dict().items():
            before = content[f"module.{key}" if name == "landmarks" else key]
            assert torch.equal(tensor, before), (name, key)
    assert len(list(load_model("mine").sample(seed=0, num_frames=2))) == 2


def same_files(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in other.iterdir()) and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


def test_export_and_import_are_the_identity(released: Path, home: Path, tmp_path: Path) -> None:
    first = import_model("mine", **given(released), fps=12, licence="own").manifest
    paths = export_model("mine", tmp_path / "out")
    assert [path.name for path in paths] == [
        *("generator.pt", "latest_net_FE_lm.pth", "latest_net_FE_pose.pth", "latest_net_FE.pth"),
        *("motion_net.pth", "wing.ckpt", "generator.pkl", "export.yaml"),
    ]
    shutil.copytree(first.folder, tmp_path / "before")
    import_model("mine", archive=tmp_path / "out", force=True)
    assert same_files(tmp_path / "before", first.folder)
    files = {name: tmp_path / "out" / EXPORT_NAMES[name] for name in EXPORT_NAMES}
    import_model("mine", **files, force=True)
    assert same_files(tmp_path / "before", first.folder)


@pytest.mark.parametrize("half", [True, False])
def test_the_identity_holds_for_trained_models(home: Path, tmp_path: Path, half: bool) -> None:
    """Also where the shapes do not tell the strides, and where weights are stored as float16."""
    folder = tmp_path / "tiny"
    save_bundle(
        folder, tiny_networks(), name="tiny", fps=12, licence="CC0-1.0",
        provenance={"made": "here", "steps": {"joint": 3}}, half=half,
    )  # fmt: skip
    export_model(folder, tmp_path / "out")
    again = import_model("tiny", archive=tmp_path / "out").manifest
    assert same_files(folder, again.folder)


def forget_normalisation(path: Path) -> None:
    """Make a bundle's or an export's YAML one from before there was a choice."""
    text = path.read_text()
    assert text.count("normalisation: ") == 1
    path.write_text(re.sub(r"\n *normalisation: .*", "", text))


def test_imported_models_normalise_each_image_by_itself(
    released: Path, home: Path, tmp_path: Path
) -> None:
    manifest = import_model("mine", **given(released)).manifest
    assert manifest.normalisation == "per_image" and manifest.notes == ()
    export_model("mine", tmp_path / "out")
    assert "normalisation: per_image" in (tmp_path / "out" / "export.yaml").read_text()
    request = ImportRequest("mine", archive=tmp_path / "out", force=True)
    other = import_model(replace(request, normalisation="running")).manifest
    assert other.normalisation == "running" and other.sha256 != manifest.sha256
    export_model("mine", tmp_path / "running")
    for folder, said in (("out", "per_image"), ("running", "running")):
        again = import_model(replace(request, archive=tmp_path / folder)).manifest
        assert again.normalisation == said
        assert load_bundle("mine").networks.appearance.config.normalisation == said
    with pytest.raises(UsageError, match="--normalisation 'batch' is not running or per_image"):
        import_model(replace(request, normalisation="batch"))
    alone = {"generator": released / "network-snapshot-005000.pkl"}
    with pytest.raises(UsageError, match="--normalisation is of an appearance network"):
        import_model("bare", **alone, normalisation="running")


def test_models_that_do_not_say_how_they_normalise(
    released: Path, home: Path, tmp_path: Path
) -> None:
    manifest = import_model("mine", **given(released)).manifest
    forget_normalisation(manifest.folder / "bundle.yaml")
    before = read_manifest("mine")
    assert before.normalisation == "per_image" and len(before.notes) == 1
    with pytest.warns(StyleFaceVWarning, match="mine does not say how .* per_image") as told:
        networks = load_bundle("mine").networks
    assert len(told) == 1 and networks.appearance.config.normalisation == "per_image"
    export_model("mine", tmp_path / "out")
    forget_normalisation(tmp_path / "out" / "export.yaml")
    request = ImportRequest("mine", archive=tmp_path / "out", force=True)
    again = import_model(request).manifest
    assert again.normalisation == "per_image" and again.notes == ()

    def saved(provenance: dict[str, Any]) -> Manifest:
        common: dict[str, Any] = {"name": "m", "fps": 15, "licence": "CC0-1.0"}
        folder = tmp_path / "saved"
        save_bundle(folder, tiny_networks(), **common, provenance=provenance)
        forget_normalisation(folder / "bundle.yaml")
        return read_manifest(folder)

    start = {"name": "mine", "provenance": dict(manifest.provenance)}
    trained = {"made_by": "stylefacev 0.1.0", "start_from": start}
    for steps, said in (({"motion": 3}, "per_image"), ({"joint": 3, "motion": 3}, "running")):
        found = saved({**trained, "steps": steps})
        assert (found.normalisation, len(found.notes)) == (said, said == "per_image")
        assert found.default_frames == 64
    assert saved({}).normalisation == saved({"imported_by": "us"}).normalisation == "running"


def test_imported_models_make_as_many_frames_as_the_authors_show(
    released: Path, home: Path, tmp_path: Path
) -> None:
    manifest = import_model("mine", **given(released)).manifest
    assert manifest.default_frames == manifest.motion_frames == 60  # stabilising begins after it
    assert manifest.fps == 15 and manifest.fps_is_only_written
    other = import_model("other", **given(released), fps=30).manifest
    assert other.fps == 30 and not other.fps_is_only_written
    assert run(["generate", "--model", "mine", "-o", str(tmp_path / "a.mp4"), "-q"]) == 0
    assert json.loads((tmp_path / "a.mp4.json").read_text())["frames"] == 60
    save_bundle(
        tmp_path / "ours", tiny_networks(), name="ours", fps=15, licence="CC0-1.0", provenance={}
    )
    ours = read_manifest(tmp_path / "ours")
    assert ours.default_frames == 64 and not ours.fps_is_only_written


def test_a_file_that_was_trained_further_after_its_export(
    released: Path, home: Path, tmp_path: Path
) -> None:
    """Its entry in export.yaml is no longer its own: the shapes tell, the provenance is new."""
    import_model("mine", **given(released))
    export_model("mine", tmp_path / "out")
    state = torch.load(tmp_path / "out" / "motion_net.pth", weights_only=True)
    torch.save(
        {name: tensor + 1 for name, tensor in state.items()}, tmp_path / "out/motion_net.pth"
    )
    manifest = import_model("other", archive=tmp_path / "out").manifest
    assert manifest.provenance["from"]["motion"]["file"] == "motion_net.pth"


@pytest.mark.parametrize("radial", [False, True])
def test_a_generator_alone(home: Path, tmp_path: Path, radial: bool) -> None:
    """From a snapshot, from its state dict without arguments, and from safetensors: the same."""
    settings = {"conv_kernel": 1, "use_radial_filters": True} if radial else {}
    generator = Generator(GeneratorConfig(**{**vars(RELEASED_GENERATOR), **settings}))
    fill(generator)
    (tmp_path / "a.pkl").write_bytes(snapshot_of(generator))
    torch.save(generator.state_dict(), tmp_path / "a.pt")
    save_file(generator.state_dict(), tmp_path / "a.safetensors")
    made = [
        import_model(f"m{i}", **{"generator": tmp_path / f"a.{kind}"}).manifest
        for i, kind in enumerate(("pkl", "pt", "safetensors"))
    ]
    assert made[0].architecture == made[1].architecture == made[2].architecture
    assert made[0].files == made[1].files == made[2].files
    assert made[0].missing == ("landmarks", "pose", "appearance", "motion")
    assert made[0].licence.startswith("NVIDIA Source Code License")

    model = load_model("m0")
    ws = model.map(torch.randn(1, 16), 0.7)
    if not radial:  # test_released renders those with numbers to compare with
        assert model.render(ws).shape == (1, 3, 32, 32)
        model.warm_up()
    with pytest.raises(
        MissingWeightsError, match="m0 cannot make videos: it lacks landmarks, pose"
    ):
        model.sample(0, 2)
    with pytest.raises(MissingWeightsError, match="lacks the network appearance"):
        model.encode(torch.zeros(1, 3, 32, 32))


def test_what_state_dicts_cannot_tell_is_not_guessed(home: Path, tmp_path: Path) -> None:
    generator = Generator(
        GeneratorConfig(**{**vars(RELEASED_GENERATOR), "first_cutoff": 2.2, "channel_max": 4})
    )
    torch.save(generator.state_dict(), tmp_path / "a.pt")
    with pytest.raises(IntegrityError, match=r"_filter is not the filter of its arch.* give the"):
        import_model("m", **{"generator": tmp_path / "a.pt"})
    (tmp_path / "a.pkl").write_bytes(snapshot_of(generator))
    import_model("m", **{"generator": tmp_path / "a.pkl"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"channel_max": 12}, "does not fit its architecture"),
        ({"c_dim": 3}, "class labels"),
        ({"fused_modconv_default": "inference_only"}, "unknown key 'fused_modconv_default'"),
        ({"num_layers": 10**12}, "cannot be"),
        ({"num_layers": 60_000}, "num_layers is 60000, but it has 7 layers, ToRGB among them"),
        ({"z_dim": None}, "z_dim must be a whole number"),
        ({"conv_kernel": "1"}, "conv_kernel must be a whole number"),
        ({"mapping_kwargs": {"lr_multiplier": 1}}, "lr_multiplier is not 0.01"),
        ({"mapping_kwargs": {"depth": 1}}, "unknown key 'mapping_kwargs.depth'"),
        ({"mapping_kwargs": 3}, "mapping_kwargs is no section"),
        ({"use_radial_filters": True}, "does not fit its architecture"),
        ({"first_cutoff": 2.5}, "does not fit|is not the filter"),
    ],
)
def test_arguments_are_checked(
    home: Path, tmp_path: Path, change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import persistence_pickles

    honest = persistence_pickles.generator_kwargs

    def lying(generator: Any) -> Any:
        kwargs = honest(generator)
        kwargs.update(change)
        return kwargs

    monkeypatch.setattr(persistence_pickles, "generator_kwargs", lying)
    (tmp_path / "a.pkl").write_bytes(snapshot_of(Generator(RELEASED_GENERATOR)))
    with pytest.raises(IntegrityError, match=told) as caught:
        import_model("m", **{"generator": tmp_path / "a.pkl"})
    assert "\n" not in str(caught.value)
    assert not list((home / "models").iterdir())


def spoilt(released: Path, tmp_path: Path, network: str, change: Any) -> dict[str, Path]:
    """A generator, and the file of a network that was changed."""
    path = tmp_path / EXPORT_NAMES[network]
    state = torch.load(released / path.name, weights_only=True)
    change(state)
    torch.save(state, path)
    return {"generator": given(released)["generator"], network: path}


@pytest.mark.parametrize(
    ("network", "change", "told"),
    [
        ("motion", lambda s: s.pop("b"), "does not fit its architecture: it lacks b"),
        ("motion", lambda s: s.update(c=s["b"]), "it has c too many"),
        ("motion", lambda s: s.update(b=s["b"][:3]), r"b is \[3\], not \[64\]"),
        ("motion", lambda s: s.update(b=s["b"].double()), "b is float64"),
        ("motion", lambda s: s.update(b=s["b"] * torch.inf), "b holds numbers that are not finite"),
        ("motion", lambda s: s.pop("enc_cell.weight_hh"), "holds no motion network"),
        ("pose", lambda s: s.update({"fc.bias": s["fc.bias"].long()}), "fc.bias is int64"),
        ("appearance", lambda s: s.update({"fc_a.weight": torch.zeros(9, 2)}), "makes 9 numbers"),
        ("appearance", lambda s: [s.pop(k) for k in list(s) if "bn2" in k], "and [0-9]+ more"),
    ],
)
def test_files_that_do_not_fit(
    released: Path,
    home: Path,
    tiny_model: Path,
    tmp_path: Path,
    network: str,
    change: Any,
    told: str,
) -> None:
    files = spoilt(released, tmp_path, network, change)
    shutil.copytree(tiny_model, home / "models" / "mine")
    before = load_bundle("mine").manifest
    with pytest.raises(IntegrityError, match=told) as caught:
        import_model("mine", **files, force=True)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert load_bundle("mine").manifest == before  # the old model survives
    assert [path.name for path in (home / "models").iterdir()] == ["mine"]


def test_files_in_the_wrong_place(released: Path, home: Path, tmp_path: Path) -> None:
    files = given(released)
    swapped = files | {"pose": files["motion"]}
    with pytest.raises(IntegrityError, match="no pose network: it looks like one for --motion"):
        import_model("m", **swapped)
    torch.save({"synthesis.b4.const": torch.zeros(1)}, tmp_path / "g.pt")
    with pytest.raises(IntegrityError, match="StyleGAN2 generator"):
        import_model("m", **{"generator": tmp_path / "g.pt"})
    with pytest.raises(MissingWeightsError, match="a model needs a generator"):
        import_model("m", **{"pose": files["pose"]})
    with pytest.raises(MissingWeightsError, match="no such file of weights"):
        import_model("m", **{"generator": tmp_path / "nothing"})


def test_the_authors_archive(released: Path, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "stylefacev.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in released.iterdir():
            archive.write(file, f"weights/{file.name}")
        archive.writestr("__MACOSX/weights/latest_net_FE.pth", b"not needed")
    from_zip = import_model("a", archive=path).manifest
    from_files = import_model("b", **given(released)).manifest
    assert from_zip.files == from_files.files and from_zip.architecture == from_files.architecture
    assert from_zip.provenance == from_files.provenance
    assert sorted(path.name for path in (home / "models").iterdir()) == ["a", "b"]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more/motion_net.pth", b"x")
    with pytest.raises(IntegrityError, match=r"two files for the motion .*more/motion_net\.pth"):
        import_model("c", archive=path)
    with pytest.raises(MissingWeightsError, match="no such archive"):
        import_model("c", archive=tmp_path / "nothing.zip")
    (tmp_path / "b.zip").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(IntegrityError, match="no whole zip"):
        import_model("c", archive=tmp_path / "b.zip")


def test_names_of_models(released: Path, home: Path, tmp_path: Path) -> None:
    files = given(released)
    for name in ("", "../x", "a/b", ".hidden", "x" * 65):
        with pytest.raises(UsageError, match="the name"):
            import_model(name, **files)
    with pytest.raises(UsageError, match="a model of the package"):
        import_model("default-64", **files)
    with pytest.raises(UsageError, match="or an --archive"):
        import_model("a")
    with pytest.raises(UsageError, match="fps 0"):
        import_model("a", **files, fps=0.0)
    import_model("a", **files)
    with pytest.raises(UsageError, match="give --force"):
        import_model("a", **files)


def test_where_imported_models_are(
    home: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "models" / "mine"
    shutil.copytree(tiny_model, folder)
    assert locate.imported_models() == ["mine"] and locate.find_bundle("mine") == folder
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate.find_bundle("mine") == folder
    with pytest.raises(MissingWeightsError, match="default-64, mine"):
        locate.find_bundle("nobody")
    monkeypatch.delenv("STYLEFACEV_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert locate.models_folder() == tmp_path / "data" / "stylefacev" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate.models_folder() == tmp_path / ".local" / "share" / "stylefacev" / "models"


def test_a_replacement_that_was_killed_between_its_two_renames(
    home: Path, tiny_model: Path
) -> None:
    waiting = home / "models" / ".mine.replaced"
    shutil.copytree(tiny_model, waiting)
    assert locate.find_bundle("mine") == home / "models" / "mine"
    assert load_bundle("mine").manifest.name == "tiny" and not waiting.exists()


@pytest.mark.parametrize("moment", ["while it writes", "between its two renames"])
def test_a_killed_import_leaves_the_old_model(
    tiny_model: Path, home: Path, tmp_path: Path, moment: str
) -> None:
    export_model(tiny_model, tmp_path / "out")
    before = import_model("mine", archive=tmp_path / "out").manifest
    victim = "os.replace" if moment == "while it writes" else "pathlib.Path.rename"
    code = f"""
import os, pathlib, signal
from stylefacev_cli.weights.api import import_model
calls, real = [], {victim}
def deadly(*paths):
    calls.append(paths)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*paths)
{victim} = deadly
archive = pathlib.Path({str(tmp_path / "out")!r})
import_model("mine", archive=archive, fps=9, force=True)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert load_bundle("mine").manifest == before
    assert locate.imported_models() == ["mine"]
    import_model("mine", archive=tmp_path / "out", fps=9, force=True)
    assert load_bundle("mine").manifest.fps == 9


def test_what_a_killed_import_left_goes_with_the_next(
    tiny_model: Path, home: Path, tmp_path: Path
) -> None:
    dead, living = (left_by(home / "models" / "a", pid) for pid in (gone_process(), os.getppid()))
    for leftover in (dead, living):
        (leftover / "bundle").mkdir(parents=True)
    export_model(tiny_model, tmp_path / "out")
    import_model("mine", archive=tmp_path / "out")
    assert living.exists() and not dead.exists()


def test_a_full_disk_leaves_the_old_model(
    released: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_model("mine", **given(released))
    before = load_bundle("mine").manifest

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for what in ("os.replace", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(what, full)
            with pytest.raises(StyleFaceVError, match="No space left"):
                import_model("mine", **given(released), fps=9, force=True)
    with monkeypatch.context() as patch:
        patch.setattr(importer, "_put_in_place", full)
        with pytest.raises(StyleFaceVError, match="No space left"):
            import_model("mine", **given(released), fps=9, force=True)
    assert load_bundle("mine").manifest == before
    assert [path.name for path in (home / "models").iterdir()] == ["mine"]


def test_exports(tiny_model: Path, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_model(tiny_model, out)
    with pytest.raises(UsageError, match="give --force"):
        export_model(tiny_model, out)
    export_model(tiny_model, out, force=True)
    stored = load_file(tiny_model / "motion.safetensors")
    state = torch.load(out / "motion_net.pth", weights_only=True)
    assert all(torch.equal(state[name], tensor) for name, tensor in stored.items())
    text = (out / "export.yaml").read_text()
    assert "mapping_kwargs" in text and json.dumps(16) in text
    for damage in ("format: 9\n", "[", text.replace("generator.pt", "../x"), "a: 1\n"):
        (out / "export.yaml").write_text(damage)
        with pytest.raises(IntegrityError, match="export the model again"):
            import_model("m", archive=out)


def test_downloaded_weights_go_by_their_names(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["weights", "import", "mine", "--generator", "stylegan3-t-ffhqu-256"]
    assert run(command) == 3
    assert "run `stylefacev weights download stylegan3-t-ffhqu-256`" in capsys.readouterr().err
    (file,) = find_entry("stylegan3-t-ffhqu-256").files
    path_of(file).parent.mkdir(parents=True)
    generator = Generator(RELEASED_GENERATOR)
    fill(generator)
    path_of(file).write_bytes(snapshot_of(generator))
    assert run(command) == 0
    made = load_model("mine").networks.generator.state_dict()
    assert all(torch.equal(made[name], value) for name, value in generator.state_dict().items())
