"""Which figure is better, and curves as text."""

from __future__ import annotations

import pytest

from stylefacev_cli.evaluation.reports.headline_figures import Figure, curve_line


@pytest.mark.parametrize(
    ("aim", "value", "other", "better"),
    [
        ("lower", 1.0, 2.0, True),
        ("higher", 1.0, 2.0, False),
        ("reference", 9.0, 12.0, True),  # the reference is 10
        ("lower", None, 2.0, None),
        ("higher", 2.0, 2.0, None),
    ],
)
def test_which_figure_is_better(
    aim: str, value: float | None, other: float, better: bool | None
) -> None:
    assert Figure("x", value, 10.0, aim).better(Figure("x", other, 10.0, aim)) is better


def test_a_curve_in_a_line() -> None:
    assert curve_line([0, 0.5, 1], 0, 1) == "▁▅█"
    assert curve_line([-1, 2], 0, 1) == "▁█"
    assert curve_line([1] * 50 + [0] + [1] * 50, 0, 1, width=10).count("▁") == 1
    assert len(curve_line([1.0] * 7, 1, 1)) == 7
