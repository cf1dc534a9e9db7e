"""The report of an examination as one HTML file that needs nothing else: no script, no font, nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from vecrollback.errors import UsageError
from vecrollback.quality.doctor import plots
from vecrollback.quality.doctor.next_steps import next_steps
from vecrollback.quality.doctor.outcome import Examination, SourceFinding
from vecrollback.quality.paper import PHONE_STYLE, next_steps_section, origin

_SHOWN_IDS, _SHOWN_BATCHES = 200, 40
_SAME_LENGTH = 1e-3
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --own: #3f6fb5;
  --foreign: #b3400a; --pass: #1a6b34; --fail: #a5180f; --unknown: #7d5200; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e9ed; --quiet: #9aa4af; --line: #363c44;
  --own: #7aa7e8; --foreign: #ff9152; --pass: #5ac47c; --fail: #ff8a80; --unknown: #e0b04c; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 46rem; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } .quiet { color: var(--quiet); }
.verdict { border-left: .4rem solid; padding: .2rem 1rem; font-size: 1.15rem; }
.pass { border-color: var(--pass); color: var(--pass); } .fail { border-color: var(--fail); color: var(--fail); }
.unknown { border-color: var(--unknown); color: var(--unknown); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n { text-align: right;
  font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } svg .own { fill: var(--own); } svg .foreign { fill: var(--foreign); }
svg .faint { opacity: .55; } svg text { fill: var(--quiet); font: 12px system-ui, sans-serif; }
svg .axis { stroke: var(--line); } details { margin: .3rem 0; } summary { cursor: pointer; }
"""


def write_html(examination: Examination, path: Path, command: Sequence[str] = ()) -> None:
    """Write the report to a file. `command`: what makes it again, told in it. Raises UsageError."""
    try:
        path.write_text(page(examination, command), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in a folder that exists"
        ) from error


def page(examination: Examination, command: Sequence[str] = ()) -> str:
    """The whole report, HTML. `command`: what makes it again."""
    title = f"Examination of {escape(examination.source)}"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            origin(command),
            *_summary(examination),
            next_steps_section(next_steps(examination)),
            *_findings(examination),
            *_pictures(examination),
            *_facts(examination),
        ]
    )
    head += f"<style>{_STYLE}{PHONE_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>\n{body}\n</main></body></html>\n'


def _summary(examination: Examination) -> Iterator[str]:
    verdict = examination.verdict
    yield f'<p class="verdict {verdict}"><strong>{verdict}</strong> {escape(_verdict_sentence(examination))}</p>'
    yield f"<p>{examination.vectors:,} vectors of {examination.dimension} numbers.</p>"
    audit, proof = examination.audit, examination.certificate
    if audit is None or proof is None:
        yield "<p>No model was asked, so which model made the vectors is unknown.</p>"
        return
    yield (
        f"<p>{sum(audit.embedded.values()):,} texts were embedded and {audit.examined:,} vectors compared with "
        f"<code>{escape(examination.model or '')}</code>: {len(audit.rows):,} are foreign.</p>"
    )
    if proof.population:
        yield (
            f"<p>Of the {proof.population:,} others at most {proof.bound:.2%} are foreign, at {proof.confidence:.0%} "
            f"confidence.</p>"
        )
    elif audit.examined == examination.vectors:
        yield "<p>Everything was embedded: certain.</p>"


def _verdict_sentence(examination: Examination) -> str:
    """The verdict in words that can be quoted: of the finding that it rests on."""
    if examination.verdict == "pass":
        return f"Nothing is wrong with the {examination.vectors:,} vectors, as far as was examined."
    deciding = next((one for one in examination.findings if one.severity == examination.verdict), None)
    if deciding is None:
        return "Not everything could be examined, and unknown is not OK."
    message = f"{deciding.count:,} of {examination.vectors:,}: {deciding.message}."
    return message if examination.verdict == "fail" else f"Unknown is not OK. {message}"


def _findings(examination: Examination) -> Iterator[str]:
    yield "<h2>Findings</h2>"
    if not examination.findings:
        yield "<p>None.</p>"
        return
    rows = "".join(
        f"<tr><td>{one.severity}</td><td>{one.kind}</td><td class='n'>{one.count:,}</td>"
        f"<td class='wide'>{escape(one.message)}{_ids(one)}</td></tr>"
        for one in examination.findings
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("severity", "kind", "rows", "found"))
    yield f'<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _ids(one: SourceFinding) -> str:
    ids = ", ".join(map(escape, one.ids[:_SHOWN_IDS]))
    more = f" and {one.count - _SHOWN_IDS:,} more" if one.count > _SHOWN_IDS else ""
    return f"<details><summary>ids</summary>{ids}{more}</details>" if ids else ""


def _pictures(examination: Examination) -> Iterator[str]:
    if examination.points:
        foreign = " The larger ones, orange, are foreign." if any(point.foreign for point in examination.points) else ""
        yield f"<h2>Vectors in the plane</h2><p class='quiet'>A sample on two principal axes.{foreign}</p>"
        yield plots.scatter(examination.points, "Vectors in the plane")
    if batches := _batches(examination):
        yield "<h2>By ingest batch</h2><p class='quiet'>Foreign vectors among those of each batch.</p>"
        yield plots.bars(batches, "Foreign vectors by ingest batch")
    if examination.audit and len(examination.audit.cosines) > 1:
        yield "<h2>How far the foreign vectors are</h2><p class='quiet'>Cosine to what the model makes of the text.</p>"
        yield plots.histogram(examination.audit.cosines, "Cosines of foreign vectors", "cosine", "foreign")
    if examination.lengths and max(examination.lengths) - min(examination.lengths) > _SAME_LENGTH:
        yield "<h2>Lengths</h2>"
        yield plots.histogram(examination.lengths, "Lengths of the vectors", "length")
    if models := examination.facts.get("models"):
        yield "<h2>Recorded models</h2>"
        yield plots.bars({name: (count, 0) for name, count in models.items()}, "Rows by the model they name")


def _batches(examination: Examination) -> dict[str, tuple[int, int]]:
    """Vectors and foreign ones by batch: those with the most foreign ones."""
    shares = examination.audit.batches if examination.audit else ()
    worst = sorted(shares, key=lambda share: -share.foreign)[:_SHOWN_BATCHES]
    return {examination.batch_name(share.batch): (share.vectors, share.foreign) for share in worst}


def _facts(examination: Examination) -> Iterator[str]:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(value))}</td></tr>'
        for name, value in examination.facts.items()
    )
    yield f'<h2>What was seen</h2><div class="scroll" tabindex="0"><table><tbody>{rows}</tbody></table></div>'
