"""Small pictures as SVG, drawn with the colours of the page around them. Each says in words what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from vecrollback.quality.doctor.outcome import Point
from vecrollback.quality.paper import ticks

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 250, 76, 52
_RIGHT = 12
_BINS = 48
_ROW, _NAME = 22, 160


def histogram(values: Sequence[float], title: str, unit: str, kind: str = "own") -> str:
    """How often values fall where, as bars over their range."""
    counts, edges = np.histogram(np.asarray(values, np.float64), bins=_BINS)
    top, width = int(counts.max()), (_WIDTH - _LEFT - _RIGHT) / _BINS
    bars = []
    for number, count in enumerate(counts.tolist()):
        if not count:
            continue
        height = max(1.0, (_HEIGHT - _BOTTOM - 8) * count / top)
        what = f"{count:,} of {len(values):,}: {edges[number]:.4g} to {edges[number + 1]:.4g}"
        at = f'x="{_LEFT + number * width:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}"'
        bars.append(f'<rect {at} width="{width - 1:.1f}" height="{height:.1f}" rx="1"><title>{what}</title></rect>')
    base = _HEIGHT - _BOTTOM
    axis = f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    below = _across(float(edges[0]), float(edges[-1]), base + 20)
    beside = "".join(
        _level(base - (base - 8) * share, f"{top * share:,.0f}") for share in (0.5, 1.0) if top * share >= 1
    )
    unit_label = _label(_WIDTH / 2, _HEIGHT - 8, f"{unit}; upwards: how many", "middle")
    words = f"{title}: {len(values):,} values from {edges[0]:.4g} to {edges[-1]:.4g}"
    return _picture(words, _HEIGHT, f'{beside}<g class="{kind}">{"".join(bars)}</g>{axis}{below}{unit_label}')


def scatter(points: Sequence[Point], title: str) -> str:
    """Vectors in the plane, the foreign ones larger and above the others."""
    places = np.array([(point.x, point.y) for point in points])
    low, high = places.min(axis=0), places.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    size, room = 440, 440 - _BOTTOM
    wide = _WIDTH - _LEFT - _RIGHT
    dots = {True: "", False: ""}
    for point, (x, y) in zip(points, (places - low) / span, strict=True):
        at = f'cx="{_LEFT + x * wide:.1f}" cy="{12 + (1 - y) * (room - 12):.1f}"'
        name = f"<title>{escape(point.id)}</title>" if point.foreign else ""
        dots[point.foreign] += f'<circle {at} r="{3.5 if point.foreign else 2}">{name}</circle>'
    foreign = sum(point.foreign for point in points)
    words = f"{title}: a sample of {len(points):,} vectors, {foreign:,} of them foreign"
    scale = _across(float(low[0]), float(high[0]), room + 20)
    up = zip(ticks(float(low[1]), float(high[1]), 2), (0, 0.5, 1), strict=True)
    scale += "".join(_level(room - (room - 12) * place, f"{value:.2g}") for value, place in up)
    scale += _label(_WIDTH / 2, size - 8, "first principal axis; upwards: the second", "middle")
    return _picture(words, size, f'{scale}<g class="own faint">{dots[False]}</g><g class="foreign">{dots[True]}</g>')


def bars(rows: Mapping[str, tuple[int, int]], title: str) -> str:
    """Of each name a whole and the marked part of it, in the same row."""
    most = max((whole for whole, _ in rows.values()), default=0) or 1
    room = _WIDTH - _NAME - 120
    rows_drawn = []
    for number, (name, (whole, part)) in enumerate(rows.items()):
        y = 4 + number * _ROW
        label = f'<text x="{_NAME - 8}" y="{y + 12}" text-anchor="end">{escape(_short(name))}</text>'
        bar = f'<rect class="own" x="{_NAME}" y="{y}" height="14" rx="2" width="{max(1.0, room * whole / most):.1f}"/>'
        width = max(2.0, room * part / most) if part else 0.0
        mark = f'<rect class="foreign" x="{_NAME}" y="{y}" height="14" rx="2" width="{width:.1f}"/>' if part else ""
        text = f"{part:,} of {whole:,}" if part else f"{whole:,}"
        count = f'<text x="{_NAME + room * whole / most + 6:.1f}" y="{y + 12}">{text}</text>'
        rows_drawn.append(label + bar + mark + count)
    words = f"{title}: " + "; ".join(f"{name or 'none'} {part:,} of {whole:,}" for name, (whole, part) in rows.items())
    return _picture(words[:500], 8 + len(rows) * _ROW, "".join(rows_drawn))


def _picture(words: str, height: float, inside: str) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}"'
    return f'<svg {size} role="img" aria-label="{escape(words)}"><title>{escape(words)}</title>{inside}</svg>'


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def _across(low: float, high: float, y: float) -> str:
    """The scale below a picture: its ends and its middle."""
    anchors = zip(ticks(low, high, 2), (0, 0.5, 1), ("start", "middle", "end"), strict=True)
    wide = _WIDTH - _LEFT - _RIGHT
    return "".join(_label(_LEFT + wide * place, y, f"{value:.3g}", anchor) for value, place, anchor in anchors)


def _level(y: float, words: str) -> str:
    """A height of the scale: its value, and a faint line across."""
    line = f'<line class="axis scale" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _label(_LEFT - 6, y + 4, words, "end")


def _short(name: str, limit: int = 24) -> str:
    name = name or "(none)"
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
