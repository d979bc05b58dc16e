"""A plot of a set as SVG, without a plotting library: every seed a dot, every mask a row."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from benchmarks.study.results import KIND_NAMES, MEAN, by_patient, mean

COLOURS = {"coarse": "#777777", "one_look": "#56b4e9", "rendered": "#d55e00"}
LEFT, WIDTH, ROW, TOP = 190, 420, 20, 34


def plot(name: str, arms: dict[str, dict[int, dict[str, Any]]], figure: str = "asd_or_diagonal") -> str:
    """SVG text of a figure's mean over structures and patients."""
    unit = next(iter(next(iter(arms.values())).values()))["unit"]
    lines = [
        (arm, kind, [v for r in seeds.values() if (v := mean(by_patient(r, kind, figure, MEAN).values())) is not None])
        for arm, seeds in arms.items()
        for kind in KIND_NAMES
    ]
    every = [v for _, _, values in lines for v in values]
    low, high = min(every), max(every)
    room = (high - low) * 0.1 or 0.1 * high or 1.0
    low, high = low - room, high + room

    def across(value: float) -> float:
        return LEFT + WIDTH * (value - low) / (high - low)

    parts = [_text(LEFT, 14, f"{name}: ASD ({unit}), smaller is better; a dot a seed, a bar their mean")]
    for number, (arm, kind, values) in enumerate(lines):
        y = TOP + ROW * number
        parts.append(_text(4, y + 4, f"{arm}, {KIND_NAMES[kind]}"))
        parts += [f'<circle cx="{across(v):.1f}" cy="{y}" r="3.5" fill="{COLOURS[kind]}"/>' for v in values]
        if (middle := mean(values)) is not None:
            x = across(middle)
            parts.append(f'<path d="M{x:.1f} {y - 7}V{y + 7}" stroke="{COLOURS[kind]}" stroke-width="2"/>')
    bottom = TOP + ROW * len(lines)
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(_text(across(value) - 14, bottom + 14, f"{value:.3g}"))
        parts.append(f'<path d="M{across(value):.1f} {TOP - 10}V{bottom}" stroke="#dddddd"/>')
    size = f'width="{LEFT + WIDTH + 40}" height="{bottom + 24}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n' + "\n".join(
        [f'<rect {size} fill="#ffffff"/>', *parts, "</svg>\n"]
    )


def _text(x: float, y: float, said: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'
