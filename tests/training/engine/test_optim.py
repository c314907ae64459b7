from __future__ import annotations

import pytest
import torch
from torch import nn

from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.engine.optim import (
    AveragedModel,
    Muon,
    Optimisers,
    Schedule,
    orthogonalise,
    restored_if_bad,
)


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5)])
def test_orthogonalise_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalise(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.4 and values.max() < 1.3
    # The singular vectors stay: the result is close in direction to U Vᵀ.
    assert torch.cosine_similarity(result.flatten(), (left @ right).flatten(), dim=0) > 0.95


def test_muon_and_adam_together_fit_a_small_network() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 3, 3, padding=1))
    convolutions = [p for p in network.parameters() if p.ndim == 4]
    biases = [p for p in network.parameters() if p.ndim == 1]
    optimisers = Optimisers(Muon(convolutions, lr=0.02), torch.optim.Adam(biases, lr=0.01))
    x = torch.randn(4, 3, 8, 8)
    y = x.roll(1, dims=3).tanh()
    losses = []
    for step in range(60):
        loss = (network(x) - y).square().mean()
        found = optimisers.learn([{"l2": loss}], 1, Schedule(warmup_steps=5).scale(step, step / 60))
        assert found is not None
        losses.append(found["l2"])
    assert losses[-1] < 0.3 * losses[0]


def test_non_finite_loss_changes_nothing() -> None:
    network = nn.BatchNorm1d(2)
    optimisers = Optimisers(torch.optim.Adam(network.parameters(), lr=0.1))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with restored_if_bad(network) as marks:
        loss = network(torch.tensor([[1.0, 2.0], [3.0, float("inf")]])).sum()
        marks.append(optimisers.learn([{"sum": loss}], 1) is not None)
    assert marks == [False]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_parts_give_the_gradient_of_the_whole() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3)
    gradients, found = [], []
    for num_parts in (1, 3):
        network = nn.Linear(3, 2, dtype=torch.float32)
        nn.init.ones_(network.weight)
        nn.init.zeros_(network.bias)
        optimisers = Optimisers(torch.optim.SGD(network.parameters(), lr=0.0))
        parts = ({"a": network(x[i::num_parts]).square().mean()} for i in range(num_parts))
        found.append(optimisers.learn(parts, num_parts, factors={"a": 3.0}))
        gradients.append(network.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert found[0] is not None and found[0]["a"] == pytest.approx(found[1]["a"])  # type: ignore[index]


def test_state_comes_back_but_settings_come_from_the_config() -> None:
    weight = nn.Parameter(torch.ones(3, 3))
    first = Optimisers(Muon([weight], lr=1.0))
    first.learn([{"sum": (weight**2).sum()}], 1)
    second = Optimisers(Muon([weight], lr=0.5))
    second.load_state_dict(first.state_dict())
    assert second._optimisers[0].param_groups[0]["lr"] == 0.5
    momentum = second._optimisers[0].state[weight]["momentum"]
    assert torch.equal(momentum, torch.full((3, 3), 2.0))


def test_schedule_warms_up_stays_and_decays() -> None:
    schedule = Schedule(warmup_steps=10, decay_from=0.5, final=0.1)
    assert schedule.scale(0, 0.0) == pytest.approx(0.1)
    assert schedule.scale(50, 0.5) == 1.0
    assert 0.1 < schedule.scale(70, 0.75) < 1.0
    assert schedule.scale(100, 1.0) == pytest.approx(0.1)


def test_linear_decay_is_that_of_the_paper() -> None:
    schedule = Schedule(shape="linear", decay_from=0.5, final=0.0)
    found = [schedule.scale(0, progress) for progress in (0.0, 0.5, 0.75, 0.9, 1.0)]
    assert found == pytest.approx([1, 1, 0.5, 0.2, 0])
    with pytest.raises(UsageError, match="shape 'step' is not cosine or linear"):
        Schedule(shape="step")


def test_average_follows_with_its_half_life() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = AveragedModel(network, half_life_images=100)
    nn.init.ones_(network.weight)
    for _ in range(10):
        average.update(network, images_per_step=10, images_seen=10**6)
    averaged = average.network.get_parameter("weight")
    assert averaged.item() == pytest.approx(0.5) and not averaged.requires_grad
