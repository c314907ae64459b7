from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from stylefacev_cli.common.settings import build, to_plain
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.features.efficientnet_lite import EfficientNetLite0
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    LandmarkDetectorConfig,
    heatmap_targets,
)
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminatorConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import (
    ClipWindow,
    Frames,
    PairSampler,
    SwapSampler,
    WindowSampler,
)
from stylefacev_cli.training.batches.pose_features import (
    heatmaps_of,
    placed,
    random_shifts,
    random_transforms,
    shifted,
)
from stylefacev_cli.training.batches.recomposition_pairs import (
    PoseFactors,
    Recomposition,
    swapped_examples,
    targets_of,
)
from stylefacev_cli.training.extensions.landmark_branch_fit import FormFit, _Looked
from stylefacev_cli.training.extensions.surrogates import LearnedGuess, linear_view, places_guess
from stylefacev_cli.training.settings import TrainingConfig
from stylefacev_cli.training.stages.appearance import (
    AppearanceStage,
    AppearanceStageConfig,
    embedding_loss,
    evenly,
)
from stylefacev_cli.training.stages.detector import (
    DetectorStage,
    DetectorStageConfig,
    openings_distance,
)
from stylefacev_cli.training.stages.joint import JointStage, Recomposed
from stylefacev_cli.training.stages.joint_settings import JointStageConfig
from stylefacev_cli.training.stages.pose import PoseStage, PoseStageConfig

DETECTOR = LandmarkDetectorConfig(input_size=64, stem_stride=1, width=8, depth=1)
POSE = PoseExtractorConfig((8, 8, 1), (8, 8, 4), 8, 8, 1)
WINDOW = ClipWindow(num_frames=2, frame_step=3, min_gap=4, max_gap=8)


@pytest.fixture(scope="module")
def generator(tiny_generator: GeneratorConfig) -> Generator:
    torch.manual_seed(0)
    return Generator(tiny_generator).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def detector(clips: Frames) -> LandmarkDetector:
    """Untrained, but with running statistics as after training."""
    torch.manual_seed(0)
    network = LandmarkDetector(DETECTOR)
    with torch.no_grad():
        for _ in range(20):
            heatmaps_of(network, clips.image_batch(np.arange(0, 96, 8)))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pose_extractor(clips: Frames, detector: LandmarkDetector) -> PoseExtractor:
    torch.manual_seed(0)
    network = PoseExtractor(POSE)
    with torch.no_grad():
        heatmaps = heatmaps_of(detector, clips.image_batch(np.arange(0, 96, 8)))
        for _ in range(20):
            network.key_points(network(heatmaps))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def perceptual() -> PerceptualLoss:
    torch.manual_seed(0)
    return PerceptualLoss(EfficientNetLite0(1), "tiny", min_size_px=16)


def appearance_config(generator: Generator) -> AppearanceConfig:
    return AppearanceConfig(
        input_size=64,
        stem_stride=1,
        base_channels=4,
        expansion=2,
        inner_ratio=1,
        encoder_blocks=(1, 1, 1, 1),
        recomposer_blocks=(1, 1, 1, 1),
        lift_blocks=1,
        appearance_channels=8,
        num_ws=generator.num_ws,
        w_dim=generator.config.w_dim,
    )


def joint_stage(
    config: JointStageConfig,
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    perceptual: PerceptualLoss | None,
) -> JointStage:
    torch.manual_seed(3)
    appearance_net = AppearanceRecomposer(appearance_config(generator)).eval()
    return JointStage(
        config, clips, 1, generator, detector, pose_extractor, appearance_net, perceptual
    )


@pytest.fixture
def joint(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
) -> Callable[..., JointStage]:
    """Makes joint stages of settings, on tiny networks."""

    def make(**settings: Any) -> JointStage:
        discriminator = PatchDiscriminatorConfig(base_channels=4, num_layers=1)
        config = JointStageConfig(discriminator, window=WINDOW, **settings)
        return joint_stage(config, clips, generator, detector, pose_extractor, None)

    return make


def run(stage: Any, num_steps: int, progress: float = 0.1) -> list[dict[str, float]]:
    return [stage.step(index, progress) for index in range(num_steps)]


def assert_resumes(make: Callable[[], Any], whole: Any, num_steps: int) -> None:
    """A run that is resumed half-way ends as the `whole` one, to the bit."""
    half = num_steps // 2
    first, second = make(), make()
    run(first, half)
    second.load_state_dict(first.state_dict())
    for index in range(half, num_steps):
        second.step(index, 0.1)
    a, b = tensors_of(whole.state_dict()), tensors_of(second.state_dict())
    assert len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def mean(found: list[dict[str, float]], key: str) -> float:
    return float(np.mean([step[key] for step in found]))


def tensors_of(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state
    return (
        [tensor for value in values for tensor in tensors_of(value)]
        if isinstance(state, dict | list | tuple)
        else []
    )


def without_gradient(network: nn.Module) -> list[str]:
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]


def test_detector_learns_on_renders_and_generated_faces(
    stills: Frames, generator: Generator
) -> None:
    config = DetectorStageConfig(DETECTOR, batch_size=2, lr=3e-3, generated_share=0.5)
    stage = DetectorStage(config, stills, 1, generator)
    found = run(stage, 10)
    assert mean(found[-3:], "points") < 0.9 * mean(found[:2], "points")
    assert without_gradient(stage.detector) == []
    numbers = stage.validate()
    assert set(numbers) == {"nme", "nme_generated", "openings", "openings_generated"}
    assert stage.sheet().ndim == 3


def test_shift_moves_pictures_and_landmarks_alike() -> None:
    frames = torch.full((3, 3, 32, 32), -1.0)
    frames[:, :, 14:18, 14:18] = 1.0
    landmarks = torch.full((3, 98, 2), 0.5)
    shifts = random_shifts(3, 0.25, torch.Generator().manual_seed(1))
    moved, points = shifted(frames, landmarks, shifts)
    mass = moved[:, 0] + 1
    axis = (torch.arange(32) + 0.5) / 32
    x = (mass.sum(dim=1) * axis).sum(dim=1) / mass.sum(dim=(1, 2))
    y = (mass.sum(dim=2) * axis).sum(dim=1) / mass.sum(dim=(1, 2))
    torch.testing.assert_close(torch.stack([x, y], dim=1), points[:, 0], atol=5e-3, rtol=0)
    assert (points - landmarks).abs().max() > 0.05


def test_pose_learns_and_leaves_the_detector_alone(
    clips: Frames, generator: Generator, detector: LandmarkDetector
) -> None:
    before = [value.clone() for value in detector.state_dict().values()]
    config = PoseStageConfig(POSE, batch_size=8, lr=3e-3)
    stage = PoseStage(config, clips, 1, detector, generator)
    found = run(stage, 20)
    assert mean(found[-4:], "key_points") < 0.8 * mean(found[:3], "key_points")
    assert without_gradient(stage.pose_extractor) == []
    after = detector.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert stage.validate()["error_percent"] > 0


def test_pose_learns_labels_through_exact_heatmaps(
    clips: Frames, generator: Generator, detector: LandmarkDetector
) -> None:
    """Whatever the detector says: with heatmaps of the labels the way to the labels is open."""
    config = PoseStageConfig(
        POSE, batch_size=8, lr=4e-3, muon_lr=0.02, betas=(0.9, 0.99), freeze_norms_from=1.0,
        targets="labels", exact_heatmaps_until=0.9,
    )  # fmt: skip
    stage = PoseStage(config, clips, 1, detector, generator)
    found = run(stage, 60)
    assert mean(found[-5:], "key_points") < 0.3 * mean(found[:3], "key_points")

    def next_loss(until: float) -> float:
        other = PoseStage(
            replace(config, exact_heatmaps_until=until), clips, 1, detector, generator
        )
        other.load_state_dict(stage.state_dict())
        return run(other, 1, progress=0.95)[0]["key_points"]

    assert next_loss(0.9) == next_loss(0.0) != next_loss(1.0)  # then the detector's own count
    footage = replace(clips, factors=np.zeros((len(clips.images), 0), np.float32))
    with pytest.raises(DataError, match="give 0 for pose.generated_share"):
        PoseStage(config, footage, 1, detector, generator)
    real_only = replace(config, generated_share=0.0, exact_heatmaps_until=0.0)
    assert run(PoseStage(real_only, footage, 1, detector, generator), 1)[0]["key_points"] > 0
    with pytest.raises(UsageError, match="exact_heatmaps_until needs"):
        PoseStageConfig(POSE, exact_heatmaps_until=0.5)


def test_poses_learn_where_others_are_in_them(
    clips: Frames, generator: Generator, detector: LandmarkDetector
) -> None:
    config = PoseStageConfig(
        POSE, batch_size=8, lr=4e-3, betas=(0.9, 0.99), freeze_norms_from=1.0, key_point_weight=0.0,
        generated_share=0.0, targets="labels", exact_heatmaps_until=1.0, swaps_weight=1.0,
        pose_factors=PoseFactors(6, 12),
    )  # fmt: skip
    stage = PoseStage(config, clips, 1, detector, generator)
    before = copy.deepcopy(stage.pose_extractor.state_dict())
    found = run(stage, 60)
    assert mean(found[-5:], "swaps") < 0.7 * mean(found[:3], "swaps")
    weights = stage.pose_extractor.state_dict()
    # Nothing but the swaps has a weight: what the extractor learnt, it learnt from them.
    assert not torch.equal(weights["layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])
    with pytest.raises(UsageError, match="swaps_weight needs targets: labels"):
        PoseStageConfig(POSE, swaps_weight=1.0, pose_factors=PoseFactors(6, 12))
    with pytest.raises(UsageError, match="swaps_weight needs pose_factors"):
        PoseStageConfig(POSE, swaps_weight=1.0, targets="labels")


def test_openings_are_measured_where_heatmaps_peak() -> None:
    random = torch.Generator().manual_seed(0)
    landmarks = 0.3 + 0.4 * torch.rand(4, 98, 2, generator=random)
    visible = torch.ones(4, 98, dtype=torch.bool)
    lower_lid = [65, 66, 67]
    wrong = landmarks.clone()
    wrong[:, lower_lid, 1] += 2 / 64  # two heatmap pixels too low

    def distance(points: torch.Tensor, flags: torch.Tensor = visible) -> float:
        return float(openings_distance(heatmap_targets(points, 64, 1.5), landmarks, flags))

    right = distance(landmarks)
    assert right < 0.25  # what the grid leaves
    assert distance(wrong) == pytest.approx(right + 2 / 3, abs=0.25)  # one of three openings
    hidden = visible.clone()
    hidden[:, lower_lid] = False
    assert distance(wrong, hidden) == pytest.approx(right, abs=0.1)
    far = heatmap_targets(landmarks, 64, 1.5)
    far[:, :, 60:, 60:] = 5  # a peak far off is the other losses' affair
    assert float(openings_distance(far, landmarks, visible)) == pytest.approx(right, abs=1e-3)


@pytest.mark.parametrize("pair_share", [0.0, 0.5])
def test_appearance_learns(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    perceptual: PerceptualLoss,
    pair_share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = AppearanceStageConfig(
        appearance_config(generator), batch_size=4, lr=2e-3, pair_share=pair_share, image_share=0.5
    )
    stage = AppearanceStage(config, clips, 1, generator, detector, pose_extractor, perceptual)
    batch = stage._next_batch(0)
    monkeypatch.setattr(stage, "_next_batch", lambda index: batch)  # one batch to fit
    found = run(stage, 10)
    assert set(found[0]) == {"l1", "perc", "embed"}
    assert mean(found[-2:], "embed") < 0.9 * mean(found[:2], "embed")
    assert without_gradient(stage.appearance_net) == []
    assert set(stage.validate()) == {"psnr", "embedding"}
    assert stage.sheet().shape == (5 * 96, 10 * 96, 3)
    assert torch.equal(generator.synthesis.input.transform, torch.eye(3))


def test_embedding_loss_leaves_the_first_w_out() -> None:
    wanted = torch.zeros(2, 5, 3)
    ws = wanted.clone()
    ws[:, 0] = 9
    assert embedding_loss(ws, wanted) == 0
    ws[:, 1:] = 2
    assert embedding_loss(ws, wanted) == 2


def test_a_share_of_a_batch_holds_some_of_every_kind() -> None:
    few, others = evenly(np.arange(32), 0.25)
    assert few.tolist() == [0, 4, 9, 13, 18, 22, 27, 31] and len(others) == 24
    assert evenly(np.arange(8), 1.0)[0].tolist() == list(range(8))
    assert evenly(np.arange(8), 0.01)[0].tolist() == [0]


def test_transforms_are_inverse_rotations_and_shifts(generator: Generator) -> None:
    transforms = random_transforms(6, 45, 0.25, torch.Generator().manual_seed(0))
    rotations = transforms[:, :2, :2]
    products = rotations @ rotations.transpose(1, 2)
    torch.testing.assert_close(products, torch.eye(2).expand(6, 2, 2))
    shifts = torch.linalg.inv(transforms)[:, :2, 2]
    assert shifts.abs().max() <= 0.25 and shifts.std() > 0.05
    ws = generator.mapping(torch.randn(1, generator.config.z_dim)).expand(6, -1, -1)
    with placed(generator, transforms):
        together = generator.synthesis(ws)
    with placed(generator, transforms[2:3]):
        alone = generator.synthesis(ws[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_joint_gradient_reaches_every_optimised_parameter(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    perceptual: PerceptualLoss,
) -> None:
    """The authors' code switched gradients off inside the landmark copy, which never learnt."""
    config = JointStageConfig(
        PatchDiscriminatorConfig(base_channels=4, num_layers=1),
        num_clips=2,
        num_drawn=2,
        window=WINDOW,
        adversarial_from=0.8,
    )
    stage = joint_stage(config, clips, generator, detector, pose_extractor, perceptual)
    found = stage.step(0, 0.9)
    assert {"v_l1", "v_perc", "v_points", "i_embed", "adv", "d"} <= set(found)
    for network in (stage.detector, stage.pose_extractor, stage.appearance_net):
        assert without_gradient(network) == []
    assert without_gradient(stage.discriminator) == []
    optimised = {id(p) for p in stage._optimisers.parameters}
    assert {id(p) for p in stage.detector.parameters()} < optimised
    fixed = stage._fixed_detector
    assert fixed is detector and not any(p.requires_grad for p in fixed.parameters())


def test_joint_can_leave_the_poses_as_they_are(
    joint: Callable[..., JointStage], detector: LandmarkDetector, pose_extractor: PoseExtractor
) -> None:
    stage = joint(pose_lr_factor=0.0)
    appearance = [p.clone() for p in stage.appearance_net.parameters()]
    run(stage, 2)
    for trained, before in ((stage.detector, detector), (stage.pose_extractor, pose_extractor)):
        state = before.state_dict()
        assert all(torch.equal(x, state[key]) for key, x in trained.state_dict().items())
    after = stage.appearance_net.parameters()
    assert not all(torch.equal(x, y) for x, y in zip(appearance, after, strict=True))


def test_poses_that_stay_are_those_of_the_frames_and_are_extracted_once(
    joint: Callable[..., JointStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> JointStage:
        sizes = {"num_clips": 2, "num_drawn": 2, "num_swaps": 4, "image_share": 0.4}
        return joint(pose_lr_factor=0.0, further_swaps=2, muon_lr=0.01, **sizes, **FURTHER)

    stage, seen = make(), []
    plain = stage._recompose

    def watched(examples: Recomposition, poses: torch.Tensor | None = None) -> Recomposed:
        seen.append((examples, poses))
        return plain(examples, poses)

    monkeypatch.setattr(stage, "_recompose", watched)
    run(stage, 3)
    for examples, poses in seen:
        torch.testing.assert_close(
            poses, stage.batches.pose_of(examples.frames), atol=1e-5, rtol=1e-5
        )
    extracted: list[int] = []
    pose_of = stage.batches.pose_of
    monkeypatch.setattr(
        stage.batches.pose_table, "_pose_of", lambda x: (extracted.append(len(x)), pose_of(x))[1]
    )
    run(stage, 60)
    assert 0 < sum(extracted) <= len(stage.frames.images)
    whole = make()
    run(whole, 8)
    assert_resumes(make, whole, 8)


def test_a_swap_is_somebody_in_the_pose_of_another() -> None:
    factors = FaceFactors()
    random = np.random.default_rng(4)
    a, b = (np.stack([factors.sample(random) for _ in range(3)]) for _ in range(2))
    where = PoseFactors(factors.pose.start, factors.pose.stop)
    made = where.swapped(torch.from_numpy(a), torch.from_numpy(b))
    wanted = np.stack([factors.combine(*pair) for pair in zip(a, b, strict=True)])
    np.testing.assert_allclose(made, wanted, atol=1e-5)
    path = Path(__file__).parents[3] / "examples" / "default-128.yaml"
    config = build(TrainingConfig, yaml.safe_load(path.read_text()), "config")
    assert config.appearance.pose_factors == where
    assert config.joint is not None and config.joint.pose_factors == where


SWAPPED = PoseFactors(1, 3)


def test_swaps_are_made_of_two_people_and_aim_at_the_generator(
    clips: Frames, generator: Generator
) -> None:
    sampler = SwapSampler(clips, 1)
    pairs = sampler.next(200)
    assert not clips.held_out[pairs].any()
    clip_of = np.searchsorted(clips.starts, pairs, side="right") - 1
    assert (clip_of[:, 0] != clip_of[:, 1]).mean() > 0.5
    pairs = pairs[clip_of[:, 0] != clip_of[:, 1]][:4]
    examples = swapped_examples(generator, clips, pairs, SWAPPED)
    z = SWAPPED.swapped(clips.factor_batch(pairs[:, 0]), clips.factor_batch(pairs[:, 1]))
    assert torch.equal(examples.ws, generator.mapping(z))
    assert torch.equal(examples.appearance_from, clips.image_batch(pairs[:, 0]))
    assert torch.equal(examples.frames, clips.image_batch(pairs[:, 1]))
    is_swap = torch.tensor([False, False, True, True])
    few = torch.tensor([1, 2])
    targets = targets_of(generator, examples, few, is_swap, "float32")
    assert torch.equal(targets[0], examples.frames[1])
    torch.testing.assert_close(targets[1], generator.synthesis(examples.ws[2:3])[0].clamp(-1, 1))


def test_joint_learns_from_swaps_and_resumes(joint: Callable[..., JointStage]) -> None:
    def make() -> JointStage:
        settings = {"num_swaps": 3, "pose_factors": SWAPPED, "video_embedding_weight": 10.0}
        return joint(num_clips=1, num_drawn=1, image_share=0.3, muon_lr=0.01, **settings)

    found = run(make(), 40)
    assert {"s_l1", "s_points", "s_embed", "v_embed", "i_embed"} <= set(found[0])
    assert mean(found[-10:], "s_embed") < mean(found[:10], "s_embed")
    whole = make()
    run(whole, 8)
    assert_resumes(make, whole, 8)
    with pytest.raises(UsageError, match="needs pose_factors"):
        joint(num_swaps=1)


FURTHER: dict[str, Any] = {"pose_factors": SWAPPED, "video_embedding_weight": 10.0}


def test_every_appearance_is_given_further_poses_of_the_batch(
    joint: Callable[..., JointStage],
) -> None:
    def make() -> JointStage:
        sizes = {"num_clips": 1, "num_drawn": 4, "num_swaps": 4, "image_share": 0.2}
        return joint(**sizes, further_swaps=6, muon_lr=0.01, **FURTHER)

    found = run(make(), 60)
    assert mean(found[-20:], "x_embed") < mean(found[:20], "x_embed")
    whole = make()
    run(whole, 8)
    assert_resumes(make, whole, 8)
    with pytest.raises(UsageError, match="needs pose_factors"):
        joint(further_swaps=1)
    with pytest.raises(UsageError, match="landmark_branch needs places_weight"):
        joint(landmark_branch=True, **FURTHER)
    with pytest.raises(UsageError, match="have no loss"):
        joint(further_swaps=1, pose_factors=SWAPPED)


def test_further_swaps_aim_at_the_w_of_both_peoples_factors(
    joint: Callable[..., JointStage], generator: Generator
) -> None:
    stage = joint(num_clips=1, num_drawn=1, num_swaps=2, further_swaps=3, **FURTHER)
    who, how = torch.randn(2, 3, generator.config.z_dim, generator=torch.Generator().manual_seed(2))
    appearance = torch.rand(3, stage.appearance_net.config.appearance_channels, 8, 8)
    poses = torch.randn(3, 1, 8, 8)
    stage.appearance_net.eval()
    with torch.no_grad():
        made = stage.appearance_net.recompose(appearance, poses)
        recomposed = Recomposed(appearance, poses, made, *torch.zeros(2, 1))
        found = stage._further_swaps(recomposed, (who, how))
        each = [
            embedding_loss(
                stage.appearance_net.recompose(appearance[i : i + 1], poses[j : j + 1]),
                generator.mapping(SWAPPED.swapped(who[i : i + 1], how[j : j + 1])),
            )
            for i in range(3)
            for j in range(3)
            if i != j
        ]
    assert float(found["x_embed"]) == pytest.approx(10 * float(torch.stack(each).mean()), rel=1e-5)


def test_an_encoder_is_given_a_branch_that_sees_landmarks(
    joint: Callable[..., JointStage], detector: LandmarkDetector
) -> None:
    def make() -> JointStage:
        sizes = {"num_clips": 1, "num_drawn": 2, "num_swaps": 3, "image_share": 0.4}
        rates = {"muon_lr": 0.01, "pose_lr_factor": 0.0, "places_weight": 100.0}
        return joint(**sizes, landmark_branch=True, **rates, **FURTHER)

    stage = make()
    assert stage.architecture["appearance"]["landmarks"] == to_plain(detector.config)
    network = stage.appearance_net
    assert network.branch is not None and network.branch.added.weight.abs().max() == 0
    run(stage, 8)
    assert network.branch.added.weight.abs().max() > 0
    found = network.branch.finder.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in detector.state_dict().items())
    assert_resumes(make, stage, 8)
    config = stage.config
    again = JointStage(
        config, stage.frames, 1, stage._generator, detector, stage.pose_extractor, network, None
    )
    kept = again.appearance_net.branch
    assert kept is not None and torch.equal(kept.added.weight, network.branch.added.weight)


def test_form_is_fitted_to_what_recomposing_misses(
    clips: Frames, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Landmarks [N, 98, 2] tell what is added to w: it is found, on frames that were kept too."""

    class Places:
        def distance(self, ws: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            return (ws - wanted).abs().mean()

    settings = appearance_config(generator)
    network = AppearanceRecomposer(replace(settings, landmarks=DETECTOR)).eval()
    count, w_dim = 600, settings.w_dim
    landmarks = 0.5 + 0.02 * torch.randn(count, 4) @ torch.randn(4, 196)
    missing = (landmarks @ torch.randn(196, w_dim))[:, None].expand(-1, 4, -1)
    made = torch.randn(count, 4, w_dim)
    features = torch.randn(count, network.num_features)
    looked = _Looked(landmarks.view(count, 98, 2), features, made, made + missing)
    fit = FormFit(
        clips, generator, SWAPPED, cast(LearnedGuess, Places()), lambda x: x, "float32", 1
    )
    monkeypatch.setattr(fit, "_look", lambda network: looked)
    assert not fit.is_fitted and fit.left is None
    fit.fit(network)
    assert fit.is_fitted and fit.left is not None
    before, after = fit.left
    assert before == pytest.approx(float(missing[::50].abs().mean()), rel=1e-4)
    assert after < 0.5 * before
    again = FormFit(
        clips, generator, SWAPPED, cast(LearnedGuess, Places()), lambda x: x, "float32", 1
    )
    again.load_state_dict(fit.state_dict())
    assert again.is_fitted and again.left == fit.left


def test_poses_can_learn_without_the_detector_and_stay_where_they_were(
    joint: Callable[..., JointStage],
) -> None:
    def moved(weight: float) -> tuple[float, JointStage]:
        rates = {"detector_lr_factor": 0.0, "pose_muon_lr": 0.01, "same_poses_weight": weight}
        stage = joint(num_clips=1, num_drawn=1, adversarial_from=1.0, **rates)
        run(stage, 25)
        stage._evaluating()
        frames = stage.frames.image_batch(np.arange(12))
        with torch.no_grad():
            heatmaps = heatmaps_of(stage.detector, frames)
            poses = stage.pose_extractor(heatmaps)
            return float(stage._moved_poses(frames, poses, heatmaps)), stage

    free, stage = moved(1e-6)
    for mine, start in zip(
        stage.detector.parameters(), stage._fixed_detector.parameters(), strict=True
    ):
        assert torch.equal(mine, start)
    kept, _ = moved(100.0)
    assert 0 < kept < 0.5 * free
    with pytest.raises(UsageError, match="poses stay"):
        joint(pose_lr_factor=0.0, pose_muon_lr=0.01)


def test_joint_rebalances_and_the_discriminator_comes_last(
    joint: Callable[..., JointStage],
) -> None:
    def gradient(progress: float) -> torch.Tensor:
        # With all image-part terms off in the second phase, only the video's embedding is left.
        stage = joint(
            num_clips=1,
            num_drawn=1,
            video_embedding_weight=1.0,
            key_point_weight=0.0,
            l1_weight=0.0,
            image_weight=0.0,
        )
        found = stage.step(0, progress)
        assert ("d" in found) == (progress >= 0.8)
        assert stage.appearance_net.fc_a.bias.grad is not None
        return stage.appearance_net.fc_a.bias.grad

    first, second = gradient(0.1), gradient(0.5)
    assert not torch.allclose(first, second)
    without_images = second.abs().sum()
    assert without_images < first.abs().sum()


def test_joint_learns_and_resumes_exactly(joint: Callable[..., JointStage]) -> None:
    def make() -> JointStage:
        return joint(
            num_clips=2,
            num_drawn=1,
            lr=2e-3,
            video_embedding_weight=10.0,
            places_weight=100.0,
            image_share=0.5,
        )

    whole = make()
    found = run(whole, 8)
    assert mean(found[-2:], "v_points") < mean(found[:2], "v_points")
    assert_resumes(make, whole, 8)
    assert len(tensors_of(whole.state_dict())) > 100
    assert set(whole.validate()) == {
        "psnr",
        "face_psnr",
        "ssim",
        "points_percent",
        "openings",
    }
    assert whole.sheet().shape == (5 * 96, 10 * 96, 3)


def test_windows_stay_in_their_clip(clips: Frames) -> None:
    windows = WindowSampler(clips, WINDOW, 1, held_out=False).next(200)
    clip_of = np.searchsorted(clips.starts, windows, side="right") - 1
    assert (clip_of == clip_of[:, :1]).all()
    assert (windows[:, 2] - windows[:, 1] == 3).all()
    before = windows[:, 1] - windows[:, 0]
    after = windows[:, 0] - windows[:, 2]
    gap = np.where(before > 0, before, after)
    assert gap.min() == 4 and gap.max() == 8 and 0.3 < (before > 0).mean() < 0.7
    with pytest.raises(DataError, match="200 frames"):
        WindowSampler(clips, ClipWindow(min_gap=196), 1, held_out=False)


def test_pairs_are_two_frames_of_one_clip(stills: Frames, clips: Frames) -> None:
    pairs = PairSampler(clips, 1, held_out=False).next(150)
    clip_of = np.searchsorted(clips.starts, pairs, side="right") - 1
    assert (clip_of[:, 0] == clip_of[:, 1]).all() and (pairs[:, 0] != pairs[:, 1]).all()
    assert not clips.held_out[pairs].any()
    with pytest.raises(DataError, match="render clips"):
        PairSampler(stills, 1, held_out=False)  # each still has a scene of its own


def test_kept_examples_resume_exactly(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
) -> None:
    config = AppearanceStageConfig(
        appearance_config(generator),
        batch_size=4,
        pool_images=40,
        pair_share=0.25,
        frame_share=0.25,
        swap_share=0.25,
        pose_factors=SWAPPED,
        image_share=0.25,
    )

    def make() -> AppearanceStage:
        return AppearanceStage(config, clips, 1, generator, detector, pose_extractor, None)

    whole = make()
    run(whole, 6)
    assert_resumes(make, whole, 6)
    assert whole._pool.num_images == 64  # whole chunks
    assert int(whole._pose_table.state_dict()["known"].sum()) <= 6 * 3


def test_swaps_of_the_appearance_stage_get_further_poses(
    clips: Frames,
    generator: Generator,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
) -> None:
    config = AppearanceStageConfig(
        appearance_config(generator),
        batch_size=8,
        swap_share=0.75,
        further_swaps=4,
        pose_factors=SWAPPED,
        image_share=0.125,
        places_weight=100.0,
        muon_lr=0.01,
    )

    def make(config: AppearanceStageConfig = config) -> AppearanceStage:
        return AppearanceStage(config, clips, 1, generator, detector, pose_extractor, None)

    found = run(make(), 60)
    for key in ("x_embed", "x_places"):
        assert mean(found[-20:], key) < mean(found[:20], key)
    assert "x_embed" not in make(replace(config, further_swaps=0)).step(0, 0.1)
    whole = make()
    run(whole, 6)
    assert_resumes(make, whole, 6)
    with pytest.raises(UsageError, match="needs a swap_share"):
        replace(config, swap_share=0.0)


def test_places_are_guessed_by_a_network_that_is_kept(clips: Frames, generator: Generator) -> None:
    places = places_guess(generator, clips, seed=1)
    before = torch.random.get_rng_state()
    ws = generator.mapping(clips.factor_batch(np.arange(6)))
    assert places.distance(ws, ws) == 0
    assert torch.equal(torch.random.get_rng_state(), before)
    near = places.distance(ws + 0.1 * (ws.roll(1, 0) - ws), ws)
    assert 0 < near < 0.3 * places.distance(ws.roll(1, 0), ws)
    moving = ws.clone().requires_grad_(True)
    places.distance(moving, ws.roll(1, 0)).backward()
    assert moving.grad is not None and moving.grad[:, 1:].abs().min() > 0
    # It tells how far apart the key points of two frames are.
    points = clips.key_point_batch(np.arange(len(clips.images)))
    pairs = torch.tensor([(0, 40), (3, 90), (10, 11), (25, 70), (50, 110), (1, 2)])
    all_ws = generator.mapping(clips.factor_batch(np.arange(len(points))))
    true = [float((points[a] - points[b]).abs().mean()) for a, b in pairs]
    found = [float(places.distance(all_ws[a][None], all_ws[b][None])) for a, b in pairs]
    assert np.corrcoef(true, found)[0, 1] > 0.8
    other = places_guess(generator, clips, seed=2)
    other.load_state_dict(places.state_dict())
    assert other.distance(ws.roll(1, 0), ws) == places.distance(ws.roll(1, 0), ws)
    other.load_state_dict({"matrix": torch.zeros(16, 31)})  # of before there was a network
    assert other.distance(ws.roll(1, 0), ws) > 0


def test_linear_view_tells_small_changes_from_large_ones(generator: Generator) -> None:
    view = linear_view(generator, seed=1)
    random = torch.Generator().manual_seed(5)
    ws = generator.mapping(torch.randn(24, generator.config.z_dim, generator=random))
    centre = ws.mean(dim=0, keepdim=True)
    near = centre + 0.1 * (ws - centre)
    assert view.distance(ws, ws) == 0
    assert view.distance(near, centre) < 0.11 * view.distance(ws, centre) + 1e-6
    other = linear_view(generator, seed=2)
    other.load_state_dict(view.state_dict())
    assert other.distance(ws, centre) == view.distance(ws, centre)
    # It explains a good part of what the generator does.
    pictures = torch.nn.functional.adaptive_avg_pool2d(generator.synthesis(ws), 16).flatten(1)
    matrix = view.state_dict()["matrix"]
    predicted = (ws[:, 0] - centre[:, 0]) @ matrix
    actual = pictures - pictures.mean(dim=0)
    assert (actual - predicted).square().sum() < 0.8 * actual.square().sum()
