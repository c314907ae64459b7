"""The page of a report."""

from __future__ import annotations

import re

from stylefacev_cli.evaluation.reports.html_report import Chart, line_chart


def test_a_chart_draws_its_curves() -> None:
    svg = line_chart(Chart("how", "frame", {"made": [1.0, 0.5, 0.75], "real": [1.0, 1.0, 1.0]}))
    made, real = (
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'points="([^"]*)"', svg)
    )
    assert made[0] == real[0] and made[1][1] > made[2][1] > real[2][1]  # y grows downwards
    assert made[0][0] < made[1][0] < made[2][0]
    assert len({y for _, y in real}) == 1
