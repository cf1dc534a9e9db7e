"""A comparison as one HTML page: no script, nothing to fetch, plots as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from vecrollback.records import AnsweredQuery, Comparison, Difference

_WIDTH, _ROW, _PLOT, _LABEL = 720, 46, 220, 90

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums;
  --a: light-dark(#2160a8, #6fb1f5); --b: light-dark(#b2510b, #f2a45c); --line: light-dark(#d0d5db, #39424b);
  --good: light-dark(#14693a, #6fcf97); --bad: light-dark(#a8211a, #ff8f86); --muted: light-dark(#56616c, #a0abb6);
  color: light-dark(#171c21, #e7eaed); background: light-dark(#fff, #12161a); }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } .n { text-align: right; white-space: nowrap; }
figure { margin: 1.5rem 0; } figcaption, .note { color: var(--muted); } svg { width: 100%; height: auto; }
svg text { fill: currentColor; font-size: 13px; } .a { fill: var(--a); } .b { fill: var(--b); }
.good { fill: var(--good); color: var(--good); } .bad { fill: var(--bad); color: var(--bad); }
line { stroke: var(--line); } .whisker { stroke: currentColor; stroke-width: 1.5; }
"""


def page(report: Comparison) -> str:
    """The page. Whatever a query or an id holds is text in it, never markup."""
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><meta charset="utf-8"><title>{escape(report.a)} against {escape(report.b)}</title>',
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>',
            f"<h1>{escape(report.a)} against {escape(report.b)}</h1>",
            f"<p>{report.queries:,} queries, {report.judged:,} with right answers, k = {report.k}. A document that "
            f"nobody judged counts as wrong: {report.unjudged[0]:.0%} and {report.unjudged[1]:.0%} of the answers."
            + (f" {report.absent:,} right documents are not in the corpus." if report.absent else "")
            + "</p>",
            *(_quality(report) if report.differences else ()),
            *_likeness(report),
            *_latency(report),
            *_queries(report),
            "</html>",
        ]
    )


def _quality(report: Comparison) -> Iterator[str]:
    yield "<h2>Quality</h2>"
    yield _table(
        ("measure", report.a, report.b, "difference", "95% interval", "p", "verdict"),
        ((*d.cells, _verdict(d)) for d in report.differences),
    )
    yield "<p class=note>Difference: paired over the queries; permutation test, bootstrap interval.</p>"
    above = f"Means: {report.a} above, {report.b} below; the line is where {report.b} may lie, by the interval"
    yield _figure(above, _bars(report), _ROW * len(report.differences))
    name = report.differences[0].measure
    falls = sorted(one.b[name] - one.a[name] for one in report.answered if one.a)
    yield _figure(
        f"{name}, {report.b} minus {report.a}, query by query from the worst to the best", _steps(falls), _PLOT
    )


def _likeness(report: Comparison) -> Iterator[str]:
    yield f"<h2>Likeness</h2><p>overlap@{report.k} {report.overlap:.3f}; rank-biased overlap {report.rbo:.3f}.</p>"
    counts = [0] * 11
    for one in report.answered:
        counts[round(one.overlap * 10)] += 1
    yield _figure(f"Queries by overlap@{report.k}, from 0 to 1", _columns(counts), _PLOT)


def _latency(report: Comparison) -> Iterator[str]:
    yield "<h2>Latency</h2>"
    rows = (
        (ref, f"{one.p50:.2f}", f"{one.p99:.2f}") for ref, one in zip((report.a, report.b), report.latency, strict=True)
    )
    yield _table(("pair", "p50, ms", "p99, ms"), rows)


def _queries(report: Comparison) -> Iterator[str]:
    yield "<h2>Queries, the worst first</h2>"
    name = report.differences[0].measure if report.differences else ""
    worst_first = sorted(report.answered, key=lambda one: (one.b[name] - one.a[name] if one.a else 0.0, one.overlap))
    yield _table(
        ("query", *((f"{name}, {report.a}", f"{name}, {report.b}") if name else ()), "overlap", "rbo", "id"),
        ((one.text, *_values(one, name), f"{one.overlap:.2f}", f"{one.rbo:.2f}", one.id) for one in worst_first),
    )


def _values(one: AnsweredQuery, name: str) -> tuple[str, ...]:
    if not name:
        return ()
    return (f"{one.a[name]:.3f}", f"{one.b[name]:.3f}") if one.a else ("-", "-")


def _verdict(d: Difference) -> str:
    if not d.significant:
        return "may be chance"
    return "better" if d.difference > 0 else "worse"


# -- plots ------------------------------------------------------------------------------------------------------------


def _bars(report: Comparison) -> Iterator[str]:
    wide = _WIDTH - _LABEL - 60
    for row, d in enumerate(report.differences):
        y = row * _ROW
        yield f'<text x="0" y="{y + 25}">{escape(d.measure)}</text>'
        for offset, name, value in ((4, "a", d.a), (22, "b", d.b)):
            yield f'<rect class="{name}" x="{_LABEL}" y="{y + offset}" width="{value * wide:.1f}" height="15"/>'
            yield f'<text x="{_LABEL + value * wide + 6:.1f}" y="{y + offset + 12}">{value:.3f}</text>'
        low, high = (_LABEL + max(0.0, min(1.0, d.a + end)) * wide for end in (d.low, d.high))
        yield f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 41}" y2="{y + 41}"/>'


def _steps(values: Sequence[float]) -> Iterator[str]:
    middle, step = _PLOT / 2, _WIDTH / max(1, len(values))
    yield f'<line x1="0" x2="{_WIDTH}" y1="{middle}" y2="{middle}"/>'
    for at, value in enumerate(values):
        if value:
            top, kind = min(middle, middle - value * middle), "good" if value > 0 else "bad"
            size = f'width="{max(0.5, step * 0.9):.2f}" height="{abs(value) * middle:.1f}"'
            yield f'<rect class="{kind}" x="{at * step:.2f}" y="{top:.1f}" {size}/>'


def _columns(counts: Sequence[int]) -> Iterator[str]:
    step, most = _WIDTH / len(counts), max(*counts, 1)
    for at, count in enumerate(counts):
        height = count / most * (_PLOT - 40)
        x, y = at * step, _PLOT - 20 - height
        yield f'<rect class="a" x="{x + 4:.1f}" y="{y:.1f}" width="{step - 8:.1f}" height="{height:.1f}"/>'
        yield f'<text x="{x + step / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle">{count or ""}</text>'
        yield f'<text x="{x + step / 2:.1f}" y="{_PLOT - 4}" text-anchor="middle">{at / 10:g}</text>'


def _figure(caption: str, shapes: Iterable[str], height: float) -> str:
    drawn = "".join(shapes)
    image = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(caption)}">{drawn}</svg>'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f"<table><tr>{heads}</tr>{''.join(map(_row, rows))}</table>"


def _row(cells: Sequence[str]) -> str:
    kinds = {"worse": ' class="bad"', "better": ' class="good"'}
    return f"<tr>{''.join(f'<td{kinds.get(cell, _number(cell))}>{escape(cell)}</td>' for cell in cells)}</tr>"


def _number(cell: str) -> str:
    return ' class="n"' if cell[:1] in "+-0123456789" and cell.replace(".", "").strip("+-").isdecimal() else ""
