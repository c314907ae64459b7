"""What holds for each stage alike: gradients, exact resuming, parts of a batch, bfloat16."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import torch
from every_stage import STAGES, names_of, tensors_of, without_pictures

from stylefacev_cli.common.autocast import HAS_BFLOAT16_PRODUCTS
from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.loop import LoopConfig, StopFlag, run_stage
from stylefacev_cli.training.engine.optim import Optimisers
from stylefacev_cli.training.engine.stage import NetworkStage

every_stage = pytest.mark.parametrize("name", STAGES)
# Instance normalisation takes the mean away, and with it what a bias before it adds; the first of
# the sampler's cells starts from a hidden state of zeros, which its second matrix multiplies.
NEVER = re.compile(
    r"(pair|clip)_critic\.netD\.scale\d_layer[1-3]\.0\.bias|motion\.enc_cell\.weight_hh"
)

# Of a difference of logits, the last bias drops out.
NEVER_OF_PAIRS = re.compile(r"discriminator\.b4\.out\.bias")


def run(stage: NetworkStage, folder: Path, *, end: int, num_steps: int = 4) -> None:
    """Train to the step `end` of a stage of `num_steps` steps."""
    budget = Budget(num_steps * stage.images_per_step)
    without_pictures(stage)
    with StopFlag() as stop:
        step = stage.step

        def counted(index: int, progress: float) -> dict[str, float]:
            stop.signal_number = signal.SIGTERM if index + 1 == end else None
            return step(index, progress)

        stage.step = counted  # type: ignore[method-assign]
        outcome = run_stage(stage, folder, budget, LoopConfig(), stop, LogListener())
    assert outcome.step == end


@every_stage
def test_steps_in_two_runs_equal_those_in_one(name: str, tmp_path: Path) -> None:
    whole = STAGES[name]()
    run(whole, tmp_path / "whole", end=4)
    run(STAGES[name](), tmp_path / "halves", end=2)
    torch.manual_seed(99)
    second = STAGES[name]()
    run(second, tmp_path / "halves", end=4)
    a, b = tensors_of(whole.state_dict()), tensors_of(second.state_dict())
    assert len(a) == len(b) > 20 and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@every_stage
def test_every_optimised_parameter_gets_a_gradient(name: str) -> None:
    stage = STAGES[name]()
    losses = stage.step(0, 0.1)
    assert all(value == value for value in losses.values())
    names = names_of(stage)
    parameters = [
        (names[id(parameter)], parameter)
        for optimisers in stage.others.values()
        if isinstance(optimisers, Optimisers)
        for parameter in optimisers.parameters
    ]
    optimised = {key.split(".")[0] for key, _ in parameters}
    assert optimised == set(stage.networks) - {"ema"}
    assert len(parameters) == sum(not key.startswith("ema.") for key in names.values())
    for key, parameter in parameters:
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        never = NEVER_OF_PAIRS if name == "finish-pairs" else NEVER
        assert never.match(key) or parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", ["detector", "pose", "appearance"])
def test_parts_equal_the_whole_where_no_statistics_are_of_the_batch(name: str) -> None:
    settings = {"face_weight": 1.0, "feature_weight": 1.0} if name == "appearance" else {}
    whole = STAGES[name](freeze_batch_norm_from=0.0, **settings)
    parts = STAGES[name](freeze_batch_norm_from=0.0, accumulate=4, **settings)
    for index in range(2):
        a, b = whole.step(index, 0.1), parts.step(index, 0.1)
        assert a == pytest.approx(b, rel=1e-4)
    assert len(parts.shares) == 4


def test_parts_equal_the_whole_where_statistics_are_of_each_image() -> None:
    """Once they are frozen; before, they are of the batch, as they are without `per_image`."""
    name = "appearance-per-image"
    whole, parts = (STAGES[name](freeze_batch_norm_from=0.0, accumulate=count) for count in (1, 4))
    a, b = whole.step(0, 0.1), parts.step(0, 0.1)
    assert a == pytest.approx(b, rel=1e-4)
    early, as_running = STAGES[name]().step(0, 0.1), STAGES["appearance"]().step(0, 0.1)
    assert early == pytest.approx(as_running, rel=1e-5)
    assert early != pytest.approx(a, rel=1e-2)


def test_saves_from_before_there_was_a_choice_of_normalisation_go_on() -> None:
    for name in ("appearance", "joint"):
        stage = STAGES[name]()
        state = stage.state_dict()
        settings = dict(state["architecture"]["appearance"])
        assert settings.pop("normalisation") == "running"
        old = state | {"architecture": state["architecture"] | {"appearance": settings}}
        stage.load_state_dict(old)
        with pytest.raises(UsageError, match="the architecture in the config is not that"):
            STAGES[f"{name}-per-image"]().load_state_dict(old)


@every_stage
def test_parts_of_a_batch_train(name: str) -> None:
    whole, parts = STAGES[name](), STAGES[name](accumulate=2)
    a, b = whole.step(0, 0.1), parts.step(0, 0.1)
    assert set(a) == set(b)
    # Statistics are of half as many samples: near, not equal.
    assert sum(b.values()) == pytest.approx(sum(a.values()), rel=0.3)
    with pytest.raises(UsageError, match="does not split evenly over 1 processes × 3 parts"):
        STAGES[name](accumulate=3)


@every_stage
def test_bfloat16_gives_about_the_same_losses(name: str) -> None:
    exact, rough = STAGES[name](), STAGES[name](dtype="bfloat16")
    a, b = exact.step(0, 0.1), rough.step(0, 0.1)
    if HAS_BFLOAT16_PRODUCTS:
        assert a != b
    assert sum(b.values()) == pytest.approx(sum(a.values()), rel=0.1)


def test_saves_from_before_the_rebalance_was_watched_go_on() -> None:
    state = STAGES["joint"]().state_dict()
    others = {key: value for key, value in state["others"].items() if key != "rebalance"}
    stage = STAGES["joint"](rebalance_from=0.5)
    stage.load_state_dict(state | {"others": others})
    assert stage.step(0, 0.4)["i_weight"] == 1 and stage.step(1, 0.6)["i_weight"] == 0.1
