"""Training goes on from a model: its networks stand in, and with `fine_tune` are begun with."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from discs import tiny_settings
from notes import Notes

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.datasets.clips import MANIFEST_NAME
from stylefacev_cli.errors import DataError, MissingWeightsError, UsageError
from stylefacev_cli.evaluation.landmark_detector import choose_detector
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.artifacts import Checkpoints, load_detector
from stylefacev_cli.training.card import CARD_NAME
from stylefacev_cli.training.dry_run import dry_run
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.run import train
from stylefacev_cli.training.settings import TrainingConfig
from stylefacev_cli.weights.bundle import Networks, load_bundle, save_bundle
from stylefacev_cli.weights.manifest import read_manifest

STANDING_STILL = "schedule={warmup_steps: 1000000}"  # steps so small that weights hardly change


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of the sizes of tiny.yaml, with random weights."""
    config = tiny_settings()
    assert config.detector is not None
    torch.manual_seed(2)  # some random pose extractors give one pose for all
    networks = Networks(
        generator=Generator(config.generator.architecture),
        landmarks=LandmarkDetector(config.detector.architecture),
        pose=PoseExtractor(config.pose.architecture),
        appearance=AppearanceRecomposer(config.appearance.architecture),
        motion=MotionSampler(config.motion.architecture),
    )
    folder = tmp_path_factory.mktemp("model")
    save_bundle(folder, networks, name="start", fps=25, licence="CC0-1.0", provenance={})
    return folder


def settings(model: Path, *overrides: str) -> TrainingConfig:
    return tiny_settings([f"start_from={model}", *overrides])


def trained(run: Path, stage: str, network: str) -> dict[str, torch.Tensor]:
    state = CheckpointStore(run / stage / "checkpoints").load_newest()
    assert state is not None
    weights: dict[str, torch.Tensor] = state["stage"]["networks"][network]
    return weights


def distance(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Of all weights that are learnt, in sizes of the wanted ones."""
    keys = [key for key in wanted if key.endswith("weight")]
    off = sum(float((found[key].float() - wanted[key].float()).square().sum()) for key in keys)
    return (off / sum(float(wanted[key].float().square().sum()) for key in keys)) ** 0.5


@pytest.mark.parametrize(
    ("stage", "network"),
    [
        ("detector", "landmarks"),
        ("pose", "pose"),
        ("appearance", "appearance"),
        ("motion", "motion"),
    ],
)
def test_stages_begin_with_the_weights_of_the_model(
    stage: str, network: str, model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """One stage alone needs none before it; without `fine_tune` it begins with other weights."""
    there = getattr(load_bundle(model).networks, network).state_dict()
    short = [f"{stage}.{STANDING_STILL}", "joint=null"]
    found = {}
    for fine_tune in ("true", "false"):
        config = settings(model, f"fine_tune={fine_tune}", *short)
        run = tmp_path / fine_tune
        train(config, [clip_folder], run, stage=stage)
        found[fine_tune] = distance(trained(run, stage, network), there)
    assert found["true"] < 0.01 < 0.3 < found["false"]


def test_joint_training_goes_on_from_the_models_networks(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    config = settings(model, f"joint.{STANDING_STILL}")
    train(config, [clip_folder], tmp_path, stage="joint")
    networks = load_bundle(model).networks
    for name in ("landmarks", "pose", "appearance"):
        there = getattr(networks, name).state_dict()
        assert distance(trained(tmp_path, "joint", name), there) < 0.01


def test_a_branch_for_landmarks_is_in_the_bundle_and_trained_on(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    branch = (
        "landmark_branch=true",
        "key_point_surrogate_weight=1",
        "pose_factors={first: 1, stop: 3}",
    )
    config = settings(
        model,
        "joint.pose_lr_factor=0",
        *(f"joint.{setting}" for setting in branch),
        "joint.num_images=16",
    )
    run = tmp_path / "joint"
    train(config, [clip_folder], run, stage="joint")
    made = load_bundle(run / "bundle").networks.appearance
    assert made is not None and made.branch is not None
    assert made.branch.added.weight.abs().max() > 0
    sizes = f"appearance.architecture={json.dumps(to_plain(made.config))}"
    with pytest.raises(UsageError, match="joint.landmark_branch adds it"):
        settings(run / "bundle", sizes)
    config = settings(
        run / "bundle", sizes, "fine_tune=true", f"appearance.{STANDING_STILL}", "joint=null"
    )
    train(config, [clip_folder], tmp_path / "on", stage="appearance")
    assert distance(trained(tmp_path / "on", "appearance", "appearance"), made.state_dict()) < 0.01


def test_what_the_run_has_trained_goes_before_the_model(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    config = settings(model, f"joint.{STANDING_STILL}", "fine_tune=true", "pose.lr=0.01")
    train(config, [clip_folder], tmp_path, stage="pose")
    own = trained(tmp_path, "pose", "pose")
    assert not (tmp_path / "bundle").exists()  # the model's movement is not one of these poses
    assert distance(own, load_bundle(model).networks.pose.state_dict()) > 0.02  # type: ignore[union-attr]
    train(config, [clip_folder], tmp_path, stage="joint")
    assert distance(trained(tmp_path, "joint", "pose"), own) < 0.01


def test_the_bundle_and_its_card_tell_of_the_model_before(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """One stage is trained on; the other networks are the model's; a second run starts from it."""
    start, data = model, tmp_path / "data"
    shutil.copytree(clip_folder, data)
    rendering = {"framing": "wide", "look": "procedural"}
    (data / MANIFEST_NAME).write_text(yaml.safe_dump({"recipe": 3, "settings": rendering}))
    for count in (1, 2):
        config = settings(start, "fine_tune=true", "joint=null", "motion.num_images=16")
        run = tmp_path / str(count)
        lines: list[str] = []
        train(config, [data], run, stage="motion", listener=Notes(lines))
        bundle = run / "bundle"
        assert lines[-1] == f"model: {bundle}"
        made, before = load_bundle(bundle), load_bundle(start)
        for name in ("generator", "landmarks", "pose", "appearance", "motion"):
            weights, wanted = (getattr(b.networks, name).state_dict() for b in (made, before))
            same = all(torch.equal(weights[key], wanted[key]) for key in wanted)
            assert same == (name != "motion"), name
        provenance = made.manifest.provenance
        assert {"recipe": 3, **rendering}.items() <= provenance.items()
        told = provenance["start_from"]
        assert told["sha256"] == before.manifest.sha256
        assert told["provenance"] == before.manifest.provenance
        sections = {k for k, v in provenance["config"].items() if isinstance(v, dict)}
        assert sections == {"motion", "loop"}  # the card has those of stages that did not run, too
        assert yaml.safe_load((bundle / "training_card.yaml").read_text())["config"]["pose"]
        card = (bundle / CARD_NAME).read_text()
        assert "started from" in card and "fine-tuned" in card
        assert card.count("| motion | ") == count  # that of the run before is in this one's too
        start = bundle


def test_of_two_detectors_the_trained_one_goes_with_the_models_poses(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """Imported models keep the fixed one too; a pose extractor of the run's own goes with that."""
    networks = load_bundle(model).networks
    assert networks.landmarks is not None
    other = copy.deepcopy(networks.landmarks)
    for weight in other.parameters():
        weight.mul_(0.5)
    both = tmp_path / "both"
    save_bundle(
        both, dataclasses.replace(networks, detector=other), name="both", fps=25,
        licence="CC0-1.0", provenance={},
    )  # fmt: skip
    fixed, copied = load_bundle(both).networks.detector, networks.landmarks
    assert fixed is not None
    run = tmp_path / "run"
    saved = Checkpoints(run, start_from=str(both))

    def is_found(wanted: torch.nn.Module, **options: bool) -> bool:
        found, expected = load_detector(saved, **options).state_dict(), wanted.state_dict()
        return all(torch.equal(found[key], value) for key, value in expected.items())

    assert is_found(copied) and is_found(copied, joint=False) and is_found(fixed, fixed=True)
    train(settings(both), [clip_folder], run, stage="pose")
    assert is_found(fixed) and is_found(fixed, joint=False) and is_found(fixed, fixed=True)


@pytest.mark.parametrize("keeps_poses", [True, False])
def test_the_joint_stage_alone_fits_its_model_where_poses_stay(
    model: Path, clip_folder: Path, tmp_path: Path, keeps_poses: bool
) -> None:
    """The bundle keeps the detector as it was, which looks at faces, beside the trained copy."""
    there = load_bundle(model).networks
    config = settings(model, f"joint.pose_anchor_weight={float(keeps_poses)}", "joint.lr=0.01")
    train(config, [clip_folder], tmp_path, stage="joint")
    assert (tmp_path / "bundle").exists() == keeps_poses
    if not keeps_poses:  # the model's movement is not one of these
        return
    made = load_bundle(tmp_path / "bundle").networks
    assert made.detector is not None and made.landmarks is not None and there.landmarks is not None
    wanted = there.landmarks.state_dict()
    assert distance(made.detector.state_dict(), wanted) == 0
    assert distance(made.landmarks.state_dict(), wanted) > 0.001
    assert made.landmark_detector is made.detector and made.landmark_detector_name == "detector"
    chosen = choose_detector(str(tmp_path / "bundle"))
    assert distance(chosen.network.state_dict(), wanted) == 0
    assert chosen.sha256 == load_bundle(model).manifest.files["landmarks"].sha256
    # A next round gets its targets from that one too.
    again = load_detector(
        Checkpoints(tmp_path / "next", start_from=str(tmp_path / "bundle")), fixed=True
    )
    assert distance(again.state_dict(), wanted) == 0


def test_motion_is_not_learnt_from_poses_that_never_change(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    networks = load_bundle(model).networks
    assert networks.pose is not None
    for weight in networks.pose.parameters():
        weight.zero_()
    save_bundle(tmp_path / "dead", networks, name="dead", fps=25, licence="CC0-1.0", provenance={})
    with pytest.raises(DataError, match="all poses of the clips are alike"):
        train(
            settings(tmp_path / "dead"), [clip_folder], tmp_path / "run", stage="motion",
        )  # fmt: skip


def test_a_dry_run_takes_the_models_networks_as_the_run_does(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """The joint stage does not ask how large the recomposer is in the config: the model has one."""
    networks = load_bundle(model).networks
    assert networks.appearance is not None and networks.landmarks is not None
    branched = networks.appearance.with_landmarks(networks.landmarks)
    start = tmp_path / "start"
    save_bundle(
        start, dataclasses.replace(networks, appearance=branched), name="start", fps=25,
        licence="CC0-1.0", provenance={},
    )  # fmt: skip
    config = settings(start, "fine_tune=true")
    (cost,) = dry_run(config, [clip_folder], tmp_path / "run", stage="joint")
    plain = settings(model, "fine_tune=true")
    (less,) = dry_run(plain, [clip_folder], tmp_path / "run", stage="joint")
    added = sum(p.numel() for p in branched.parameters()) - sum(
        p.numel() for p in networks.appearance.parameters()
    )
    assert cost.parameters - less.parameters == added > 0
    with pytest.raises(UsageError, match=r"appearance\.architecture is not that of .*'landmarks'"):
        dry_run(config, [clip_folder], tmp_path / "run")


def test_a_model_says_how_long_its_movement_was_learnt_at(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """Its own round of training or, where others were trained since, the one before that."""
    start = str(model)
    for stage, setting, told in (
        ("motion", "motion.num_frames=8", 8),
        ("appearance", f"appearance.{STANDING_STILL}", 8),
        ("motion", "motion.num_frames=10", 10),
    ):
        config = settings(Path(start), "fine_tune=true", "joint=null", setting)
        run = tmp_path / f"{stage}-{told}"
        train(config, [clip_folder], run, stage=stage)
        start = str(run / "bundle")
        assert read_manifest(start).motion_frames == told


def test_fine_tuning_is_refused_where_it_cannot_be(
    model: Path, clip_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="fine_tune needs start_from"):
        tiny_settings(["fine_tune=true"])
    wide = settings(model, "fine_tune=true", "motion.architecture.hidden_dim=24")
    with pytest.raises(
        UsageError, match=r"motion\.architecture is not that of .* 'hidden_dim': 16"
    ):
        train(wide, [clip_folder], tmp_path)  # at once, not at its turn
    assert not list(tmp_path.iterdir())
    partial = Networks(generator=load_bundle(model).networks.generator)
    save_bundle(
        tmp_path / "partial", partial, name="part", fps=25, licence="CC0-1.0", provenance={}
    )
    with pytest.raises(MissingWeightsError, match="lacks the network detector"):
        train(
            settings(tmp_path / "partial"), [clip_folder], tmp_path / "run", stage="pose",
        )  # fmt: skip
