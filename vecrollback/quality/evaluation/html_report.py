"""A comparison as one HTML page: no script, nothing to fetch, plots as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from vecrollback.quality.paper import PHONE_STYLE, next_steps_section, origin, ticks
from vecrollback.records import AnsweredQuery, Comparison, Difference

_WIDTH, _ROW, _PLOT, _LABEL = 720, 46, 220, 130
_SCALE = 56
_MANY_UNJUDGED = 0.5

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums;
  --a: light-dark(#2160a8, #6fb1f5); --b: light-dark(#b2510b, #f2a45c); --line: light-dark(#d0d5db, #39424b);
  --good: light-dark(#14693a, #6fcf97); --bad: light-dark(#a8211a, #ff8f86); --muted: light-dark(#56616c, #a0abb6);
  color: light-dark(#171c21, #e7eaed); background: light-dark(#fff, #12161a); }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } .n { text-align: right; white-space: nowrap; }
figure { margin: 1.5rem 0; } figcaption, .note { color: var(--muted); } .next { border-color: var(--line); }
svg { width: 100%; height: auto; }
svg text { fill: currentColor; font-size: 13px; } .a { fill: var(--a); } .b { fill: var(--b); }
.good { fill: var(--good); color: var(--good); } .bad { fill: var(--bad); color: var(--bad); }
line { stroke: var(--line); } .verdict { font-size: 1.15rem; } .whisker { stroke: currentColor; stroke-width: 1.5; }
"""


def page(report: Comparison, command: Sequence[str] = ()) -> str:
    """The page. Whatever a query or an id holds is text in it, never markup. `command`: what makes it again."""
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(report.a)} against {escape(report.b)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}{PHONE_STYLE}</style></head><body><main>",
            f"<h1>{escape(report.a)} against {escape(report.b)}</h1>",
            origin(command),
            f"<p class='verdict'><strong>{escape(verdict_sentence(report))}</strong></p>",
            f"<p>{report.queries:,} queries, {report.judged:,} with right answers, k = {report.k}. A document that "
            f"nobody judged counts as wrong: {report.unjudged[0]:.0%} and {report.unjudged[1]:.0%} of the answers."
            + (f" {report.absent:,} right documents are not in the corpus." if report.absent else "")
            + "</p>",
            next_steps_section(_next_steps(report)),
            *(_quality(report) if report.differences else ()),
            *_likeness(report),
            *_latency(report),
            *_queries(report),
            "</main></body></html>",
        ]
    )


def verdict_sentence(report: Comparison) -> str:
    """Which of the two answers better, by the first measure, or why that is unknown: one sentence."""
    if not report.differences:
        return (
            f"Which of the two is better is unknown: of no query a right answer is known. Their answers share "
            f"{report.overlap:.0%}."
        )
    first = report.differences[0]
    numbers = f"{first.measure} {first.a:.3f} with {report.a}, {first.b:.3f} with {report.b}"
    if not first.significant:
        return f"No difference that chance does not explain: {numbers} (p {first.p:.2g}, {first.queries:,} queries)."
    verb = "better" if first.difference > 0 else "worse"
    between = f"{first.low:+.3f} to {first.high:+.3f}"
    return f"{report.b} answers {verb} than {report.a}: {numbers}; the difference is {between} at 95% confidence."


def _next_steps(report: Comparison) -> Iterator[str]:
    a, b = (ref.partition("@")[0] for ref in (report.a, report.b))
    if not report.differences:
        yield "Say which answers are right: `vecrollback golden add QUERY --expect ID`, then compare again."
        return
    first = report.differences[0]
    if not first.significant:
        yield f"Take both for equal, or add golden queries until a difference shows: {first.queries:,} were judged."
    elif first.difference < 0:
        yield f"Do not let {b} serve. Read the queries at the top of the last table: they got worse most."
        yield "Where it serves already: `vecrollback rollback --dry-run`, then `vecrollback rollback --reason TEXT`."
    else:
        yield f"Let the gates decide, then promote: `vecrollback gates {b}`, `vecrollback promote {b} --reason TEXT`."
        yield f"Keep {a}: it is the way back."
    if max(report.unjudged) > _MANY_UNJUDGED:
        yield "Judge more answers: more than half of them were judged by nobody and count as wrong."


def _quality(report: Comparison) -> Iterator[str]:
    yield "<h2>Quality</h2>"
    yield _table(
        ("measure", report.a, report.b, "difference", "95% interval", "p", "verdict"),
        ((*d.cells, _verdict(d)) for d in report.differences),
    )
    yield "<p class=note>Difference: paired over the queries; permutation test, bootstrap interval.</p>"
    above = f"Means: {report.a} above, {report.b} below; the line is where {report.b} may lie, by the interval"
    yield _figure(above, _bars(report), _ROW * len(report.differences) + 24)
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
    wide = _WIDTH - _LABEL - 90
    yield from _upright(wide, _ROW * len(report.differences))
    for row, d in enumerate(report.differences):
        y = row * _ROW
        yield f'<text x="0" y="{y + 25}">{escape(d.measure)}</text>'
        for offset, name, value in ((4, "a", d.a), (22, "b", d.b)):
            yield f'<rect class="{name}" x="{_LABEL}" y="{y + offset}" width="{value * wide:.1f}" height="15"/>'
            yield f'<text x="{_LABEL + value * wide + 6:.1f}" y="{y + offset + 12}">{value:.3f}</text>'
        low, high = (_LABEL + max(0.0, min(1.0, d.a + end)) * wide for end in (d.low, d.high))
        yield f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 41}" y2="{y + 41}"/>'


def _upright(wide: float, height: float) -> Iterator[str]:
    """Lines from 0 to 1 behind bars that lie, with their values below."""
    for value in ticks(0.0, 1.0):
        x = _LABEL + value * wide
        yield f'<line class="scale" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
        yield f'<text x="{x:.1f}" y="{height + 18}" text-anchor="middle">{value:g}</text>'


def _steps(values: Sequence[float]) -> Iterator[str]:
    middle, room = _PLOT / 2, _WIDTH - _SCALE
    step, most = room / max(1, len(values)), max((abs(value) for value in values), default=0.0) or 1.0
    tall = middle - 12
    for value in ticks(-most, most):
        y = middle - value / most * tall
        yield f'<line class="scale" x1="{_SCALE}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_SCALE - 6}" y="{y + 4:.1f}" text-anchor="end">{f"{value:+.2g}" if value else "0"}</text>'
    for at, value in enumerate(values):
        if value:
            height, kind = abs(value) / most * tall, "good" if value > 0 else "bad"
            top = middle - height if value > 0 else middle
            size = f'width="{max(0.5, step * 0.9):.2f}" height="{height:.1f}"'
            yield f'<rect class="{kind}" x="{_SCALE + at * step:.2f}" y="{top:.1f}" {size}/>'


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
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return f"<div class='scroll' tabindex='0'><table><tr>{heads}</tr>{''.join(map(_row, rows))}</table></div>"


def _row(cells: Sequence[str]) -> str:
    kinds = {"worse": ' class="bad"', "better": ' class="good"'}
    return f"<tr>{''.join(f'<td{kinds.get(cell, _number(cell))}>{escape(cell)}</td>' for cell in cells)}</tr>"


def _number(cell: str) -> str:
    return ' class="n"' if cell[:1] in "+-0123456789" and cell.replace(".", "").strip("+-").isdecimal() else ""
