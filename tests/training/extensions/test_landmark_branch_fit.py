"""The landmark branch and its fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
import torch
from stage_runs import FURTHER, SWAPPED, assert_resumes, run
from tiny import DISC_APPEARANCE, DISC_LANDMARKS

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.extensions.landmark_branch_fit import LandmarkBranchFit, _Samples
from stylefacev_cli.training.extensions.surrogates import LearnedSurrogate
from stylefacev_cli.training.stages.joint import JointStage
from stylefacev_cli.training.stages.joint_batches import JointNetworks


def test_an_encoder_is_given_a_branch_that_sees_landmarks(
    joint: Callable[..., JointStage], detector: LandmarkDetector
) -> None:
    def make() -> JointStage:
        sizes = {"num_clips": 1, "num_generated": 2, "num_swaps": 3, "image_loss_share": 0.4}
        rates = {"muon_lr": 0.01, "pose_lr_factor": 0.0, "key_point_surrogate_weight": 100.0}
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
    before = JointNetworks(stage._generator, detector, stage.pose_extractor, network, detector)
    again = JointStage(config, stage.frames, 1, before, None)
    kept = again.appearance_net.branch
    assert kept is not None and torch.equal(kept.added.weight, network.branch.added.weight)


def test_form_is_fitted_to_what_recomposing_misses(
    clips: Frames, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Landmarks [N, 98, 2] tell what is added to w: it is found, on frames that were kept too."""

    class Places:
        def distance(self, ws: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            return (ws - wanted).abs().mean()

    settings = DISC_APPEARANCE
    network = AppearanceRecomposer(replace(settings, landmarks=DISC_LANDMARKS)).eval()
    count, w_dim = 600, settings.w_dim
    landmarks = 0.5 + 0.02 * torch.randn(count, 4) @ torch.randn(4, 196)
    missing = (landmarks @ torch.randn(196, w_dim))[:, None].expand(-1, 4, -1)
    made = torch.randn(count, 4, w_dim)
    features = torch.randn(count, network.num_features)
    looked = _Samples(landmarks.view(count, 98, 2), features, made, made + missing)
    fit = LandmarkBranchFit(
        clips, generator, SWAPPED, cast(LearnedSurrogate, Places()), lambda x: x, "float32", 1
    )
    monkeypatch.setattr(fit, "_collect", lambda network: looked)
    assert not fit.is_fitted and fit.left is None
    fit.fit(network)
    assert fit.is_fitted and fit.left is not None
    before, after = fit.left
    assert before == pytest.approx(float(missing[::50].abs().mean()), rel=1e-4)
    assert after < 0.5 * before
    again = LandmarkBranchFit(
        clips, generator, SWAPPED, cast(LearnedSurrogate, Places()), lambda x: x, "float32", 1
    )
    again.load_state_dict(fit.state_dict())
    assert again.is_fitted and again.left == fit.left
