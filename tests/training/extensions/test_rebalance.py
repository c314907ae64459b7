from __future__ import annotations

from stylefacev_cli.training.extensions.rebalance import Rebalance


def phases(rebalance: Rebalance, values: list[float]) -> list[bool]:
    found = []
    for index, value in enumerate(values):
        found.append(rebalance.begins(index / 100))
        rebalance.note(value, 5)
    return found


def test_begins_when_the_video_loss_stops_falling() -> None:
    values = [8, 8, 6, 6, 5, 5, 4.9, 4.9, 3, 3]  # windows of two steps: 8, 6, 5, 4.9
    assert phases(Rebalance(1.0, 0.05, 10), values) == [False] * 8 + [True] * 2
    assert phases(Rebalance(1.0, 0.5, 10), values) == [False] * 4 + [True] * 6
    assert phases(Rebalance(1.0, 0.0, 10), values) == [False] * 10


def test_begins_at_the_latest_progress_and_never_ends() -> None:
    rebalance = Rebalance(0.03, 0.05, 10)
    assert phases(rebalance, [9, 8, 7, 6, 5]) == [False, False, False, True, True]
    assert rebalance.begins(0.0)


def test_resumes_exactly() -> None:
    values = [8.0, 8, 6, 6, 5, 5, 4.9, 4.9, 3, 3]
    whole = phases(Rebalance(1.0, 0.05, 10), values)
    first = Rebalance(1.0, 0.05, 10)
    found = phases(first, values[:5])
    second = Rebalance(1.0, 0.05, 10)
    second.load_state_dict(first.state_dict())
    assert found + phases(second, values[5:]) == whole
