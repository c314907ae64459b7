"""Which files of the authors' zip, of their README's tree and of other folders are taken."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from released_files import write_released

from stylefacev_cli.cli.app import run
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.weights.convert import archive_files
from stylefacev_cli.weights.convert.exporter import export_model
from stylefacev_cli.weights.convert.file_names import EXPORT_NAMES, PRETRAINED_NAMES
from stylefacev_cli.weights.convert.importer import Imported, ImportWishes, import_model
from stylefacev_cli.weights.download.cache import path_of
from stylefacev_cli.weights.download.registry import find_entry
from stylefacev_cli.weights.manifest import Manifest

SNAPSHOT = "network-snapshot-005000.pkl"
TRAINED = ("latest_net_FE.pth", "latest_net_FE_lm.pth", "latest_net_FE_pose.pth")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All eight files of the authors, side by side."""
    return write_released(tmp_path_factory.mktemp("files"))


@pytest.fixture
def tree(files: Path, tmp_path: Path) -> Path:
    """The authors' README's tree, in a checkout of their code."""
    root = tmp_path / "StyleFaceV"
    for path in files.iterdir():
        below = "checkpoints/stylefacev" if path.name in TRAINED else "pretrained_models"
        (root / below).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / below / path.name)
    (root / "models").mkdir()
    (root / "models" / "sample_model.py").write_text("raise SystemExit")
    return root


def sources(manifest: Manifest) -> dict[str, str]:
    return {name: told["file"] for name, told in manifest.provenance["from"].items()}


def imported(archive: Path, **files: Path) -> Imported:
    return import_model(ImportWishes("mine", files, archive=archive, force=True))


def test_the_authors_tree(tree: Path, home: Path) -> None:
    made = imported(tree)
    assert made.manifest.missing == ()
    assert sources(made.manifest) == {**EXPORT_NAMES, "generator": SNAPSHOT}
    told = "; ".join(made.notes)
    assert "pretrained_models/pre_net.pth was left aside: checkpoints/stylefacev/latest" in told
    assert "pre_pose_net.pth was left aside" in told


def test_the_authors_zip(files: Path, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "stylefacev.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files.iterdir():
            archive.write(file, f"pretrained_models/{file.name}")
            archive.writestr(f"__MACOSX/pretrained_models/{file.name}", b"x")
    made = imported(path).manifest
    assert made.missing == () and sources(made)["appearance"] == "latest_net_FE.pth"
    assert made.files == imported(files).manifest.files


def test_a_named_file_goes_before_the_archives(
    files: Path, tree: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tree.parent / "own.pth"
    shutil.copy(files / "motion_net.pth", own)
    (tree / "pretrained_models" / "motion_net.pth").write_bytes(b"not read")
    command = ["weights", "import", "mine", "--archive", str(tree), "--motion", str(own)]
    assert run(command) == 0
    assert sources(import_model(ImportWishes("b", {"motion": own}, tree)).manifest) == {
        **EXPORT_NAMES, "generator": SNAPSHOT, "motion": "own.pth",
    }  # fmt: skip
    (tree / "pretrained_models" / "wing.ckpt").unlink()
    assert "detector" not in imported(tree, motion=own).manifest.files
    made = imported(tree, motion=own, detector=files / "wing.ckpt").manifest
    assert "detector" in made.files


def test_the_two_pretrained_files(tree: Path, home: Path) -> None:
    """Without the trained ones, or named; landmarks and motion of the trained ones do not fit."""
    before = tree / "pretrained_models"
    alone = imported(before)
    named = imported(
        tree, pose=before / "pre_pose_net.pth", appearance=before / PRETRAINED_NAMES["appearance"]
    )
    for made in (alone, named):
        assert sources(made.manifest) == {
            "generator": SNAPSHOT, **PRETRAINED_NAMES, "detector": "wing.ckpt",
        }  # fmt: skip
        assert made.manifest.missing == ("landmarks", "motion")
        assert any("motion_net.pth was left aside: it belongs to" in note for note in made.notes)
    assert alone.manifest.files == named.manifest.files
    # One of them named takes the other one along.
    half = imported(tree, pose=before / "pre_pose_net.pth")
    assert sources(half.manifest) == sources(alone.manifest)
    # Half of the trained pair does not go with half of the other.
    (tree / "checkpoints/stylefacev/latest_net_FE_pose.pth").unlink()
    assert sources(imported(tree).manifest) == sources(alone.manifest)


def test_what_may_be_meant_twice(tree: Path, files: Path, home: Path) -> None:
    old = tree / "pretrained_models" / "old"
    old.mkdir()
    shutil.copy(files / "motion_net.pth", old)
    told = "; ".join(imported(tree).notes)
    assert "old/motion_net.pth was left aside: pretrained_models/motion_net.pth is the" in told
    other = tree / "checkpoints" / "stylefacev_pre"
    other.mkdir()
    shutil.copy(files / "pre_net.pth", other / "latest_net_FE.pth")
    wanted = tree / "checkpoints" / "stylefacev" / "latest_net_FE.pth"
    with pytest.raises(IntegrityError, match=r"two files for the appearance .*name the right one"):
        imported(tree)
    assert imported(tree, appearance=wanted).manifest.missing == ()


def test_folders_that_hold_other_things(
    tree: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "motion_net.pth").write_bytes(b"not read")
    assert not any(".git" in note for note in imported(tree).notes)
    with pytest.raises(MissingWeightsError, match="needs a generator"):
        imported(tree / "checkpoints")
    with pytest.raises(MissingWeightsError, match="no such archive"):
        imported(tree / "nothing")
    monkeypatch.setattr(archive_files, "_MAX_FILES", 3)
    with pytest.raises(UsageError, match="more than 3 files: name a folder below it"):
        imported(tree)


def test_an_export_has_its_generator_twice(tree: Path, home: Path, tmp_path: Path) -> None:
    first = imported(tree).manifest
    export_model("mine", tmp_path / "out")
    assert imported(tmp_path / "out").notes == ()
    (tmp_path / "out" / "generator.pt").unlink()
    again = imported(tmp_path / "out").manifest
    assert again.files == first.files and again.architecture == first.architecture
    assert sources(again)["generator"] == "generator.pkl"


def test_the_shortcut_by_names_of_downloads(
    files: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("weights", "import", "pre", "--archive", "stylefacev-256-pre"),
        *("--generator", "stylefacev-256", "--detector", "stylefacev-256"),
    ]
    assert run(command) == 3
    assert "run `stylefacev weights download stylefacev-256" in capsys.readouterr().err
    for entry in ("stylefacev-256-pre", "stylefacev-256"):
        for file in find_entry(entry).files:
            if file.name in (*PRETRAINED_NAMES.values(), SNAPSHOT, "wing.ckpt"):
                path_of(file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(files / file.name, path_of(file))
    assert run(command) == 0
    told = capsys.readouterr().err
    assert "it lacks landmarks, motion" in told and "`train joint --start-from pre`" in told
