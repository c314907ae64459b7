"""A report as one self-contained HTML page: tables, curves, pictures; nothing is fetched."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from stylefacev_cli.evaluation.reports.headline_figures import Figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --fake: #c2571a; --real: #2a78b8; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; }
td, th { padding: .15rem 1rem .15rem 0; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
details pre { white-space: pre-wrap; }
pre { overflow-x: auto; padding: .7rem; border: 1px solid var(--line); }
figure { margin: 1rem 0; } figcaption { opacity: .8; font-size: .9rem; }
img { max-width: 100%; image-rendering: pixelated; }
.warning { border-left: 4px solid #d90; padding-left: .7rem; }
"""
_COLOURS = ("var(--fake)", "var(--real)", "#777", "#3a3")
_CHART_PX = (640, 220)
_CHART_MARGIN_PX = 46
MIN_PICTURE_PX = 96  # smaller frames are shown enlarged, whole pixels


@dataclass(frozen=True)
class Strip:
    """Frames side by side, uint8 [H, W, 3] each, all of one size."""

    title: str
    frames: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Chart:
    """Curves over time: a name → its values, one for each step."""

    title: str
    across: str
    curves: dict[str, Sequence[float]]


@dataclass(frozen=True)
class Section:
    """The part of a report about one metric.

    Attributes:
        title: of the section.
        lines: its table, as in a terminal.
        warnings: what limits its numbers.
        charts: curves over time.
        strips: frames of some videos.
    """

    title: str
    lines: Sequence[str]
    warnings: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    strips: Sequence[Strip] = ()


def html_page(
    title: str, facts: dict[str, str], figures: list[Figure], sections: list[Section], raw: Any
) -> str:
    """The whole page as HTML.

    Args:
        title: of the page.
        facts: what was measured, how and when.
        figures: the main numbers.
        sections: one for each metric.
        raw: the report as JSON values, put at the end.
    """
    body = [f"<h1>{escape(title)}</h1>", _facts(facts), _figures(figures)]
    for section in sections:
        body.append(f"<h2>{escape(section.title)}</h2>")
        body += [f'<p class="warning">{escape(text)}</p>' for text in section.warnings]
        body.append(f"<pre>{escape(chr(10).join(section.lines))}</pre>")
        body += [line_chart(chart) for chart in section.charts]
        body += [_strip(strip) for strip in section.strips]
    text = escape(json.dumps(raw))
    body.append(f"<details><summary>All numbers (JSON)</summary><pre>{text}</pre></details>")
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + (
        "\n".join(body) + "\n</body></html>\n"
    )


def line_chart(chart: Chart) -> str:
    """Curves as SVG."""
    width, height = _CHART_PX
    margin = _CHART_MARGIN_PX
    values = [value for curve in chart.curves.values() for value in curve]
    steps = max(len(curve) for curve in chart.curves.values()) - 1
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    low, high = low - 0.05 * spread, high + 0.05 * spread

    def x(step: float) -> float:
        return margin + (width - 2 * margin) * step / max(steps, 1)

    def y(value: float) -> float:
        return height - margin + (2 * margin - height) * (value - low) / (high - low)

    parts = [
        f'<rect x="{margin}" y="{margin}" width="{width - 2 * margin}" '
        f'height="{height - 2 * margin}" fill="none" stroke="#8886"/>'
    ]
    for value in (low, (low + high) / 2, high):
        parts.append(_text(margin - 6, y(value) + 4, f"{value:.3g}", "end"))
    for step in (0, steps / 2, steps):
        parts.append(_text(x(step), height - margin + 16, f"{step:g}", "middle"))
    parts.append(_text(width / 2, height - 8, chart.across, "middle"))
    for number, (name, curve) in enumerate(chart.curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in enumerate(curve))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        place = margin + 120 * number
        parts.append(f'<line x1="{place}" x2="{place + 20}" y1="30" y2="30" stroke="{colour}"/>')
        parts.append(_text(place + 26, 34, name, "start"))
    svg = f'<svg viewBox="0 0 {width} {height}" width="{width}" font-size="12">'
    caption = f"<figcaption>{escape(chart.title)}</figcaption>"
    return f"<figure>{svg}{''.join(parts)}</svg>{caption}</figure>"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f"{escape(text)}</text>"
    )


def _facts(facts: dict[str, str]) -> str:
    rows = (
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _figures(figures: Iterable[Figure]) -> str:
    rows = [
        "<tr><th>figure</th><th>generated</th><th>floor or real</th><th>better is</th><th></th>"
        "</tr>"
    ]
    for figure in figures:
        aim = "closer to real" if figure.aim == "reference" else figure.aim
        rows.append(
            f"<tr><td>{escape(figure.name)}</td>{_number(figure.value)}{_number(figure.reference)}"
            f"<td>{aim}</td><td>{escape(figure.unit)}</td></tr>"
        )
    return f"<h2>Figures</h2><table>{''.join(rows)}</table>"


def _number(value: float | None) -> str:
    return f'<td class="number">{"" if value is None else format(value, ".4g")}</td>'


def _strip(strip: Strip) -> str:
    picture = base64.b64encode(_png(strip.frames)).decode()
    caption = f"<figcaption>{escape(strip.title)}</figcaption>"
    return (
        f'<figure><img alt="{escape(strip.title)}" src="data:image/png;base64,{picture}">'
        f"{caption}</figure>"
    )


def _png(frames: Sequence[NDArray[np.uint8]]) -> bytes:
    import numpy as np
    from PIL import Image

    joined = np.concatenate(list(frames), axis=1)
    times = -(-MIN_PICTURE_PX // frames[0].shape[0])
    joined = joined.repeat(times, axis=0).repeat(times, axis=1)
    stream = io.BytesIO()
    Image.fromarray(joined).save(stream, "PNG", optimize=True)
    return stream.getvalue()
