"""What people read: each function turns a result into lines and tables."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vecrollback.cli.support.output import counted
from vecrollback.cli.support.tables import Rows, clean, when
from vecrollback.records import (
    LIVE,
    CatchUp,
    Certificate,
    Finding,
    GateOutcome,
    Json,
    Move,
    Reconciled,
    Report,
    Result,
    SnapshotRef,
    Switched,
)

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part

_TEXT_WIDTH = 120
_SHOWN_IDS = 5


# -- status -----------------------------------------------------------------------------------------------------------


def status(state: Json) -> Iterator[Part]:
    """Whether it is well, what serves and where a rollback would go; then what to look at, the pairs and the jobs."""
    yield state["situation"]["verdict"]
    yield from _live(state)
    if state["setback"]:
        yield f"went back  {state['setback']}; see `vecrollback reconcile`"
    target = state["rollback"]
    yield f"rollback   to {target['target']}" if target["target"] else f"rollback   nowhere: {target['reason']}"
    yield f"corpus     {counted(state['corpus']['documents'], 'document')}, newest change {state['corpus']['head']:,}"
    yield f"searchers  {len(state['searchers']) or 'none is running'}"
    yield from situation(state["situation"])
    if state["pairs"]:
        yield ""
        yield pairs(state["pairs"])
    if state["jobs"]:
        yield ""
        yield "unfinished jobs (the same command goes on where it stopped)"
        yield Rows(
            ("job", "kind", "pair", "state", "progress", "error"),
            (
                (j["id"], j["kind"], j["pair"], j["state"], _done(j["progress"]), j["error"] or None)
                for j in state["jobs"]
            ),
        )


def situation(body: Json) -> Iterator[Part]:
    """The lines to look at, each with the next command; then the names of those that are as they should be."""
    yield ""
    lines = [line for line in body["lines"] if line["state"] != "ok"]
    if lines:
        rows = ((line["state"], line["name"], line["sentence"], line["command"]) for line in lines)
        yield Rows(("state", "about", "what there is", "next"), rows)
    if well := [line["name"] for line in body["lines"] if line["state"] == "ok"]:
        yield from textwrap.wrap(f"as it should be: {', '.join(well)}", 78, subsequent_indent="  ")


def pairs(rows: Json) -> Rows:
    columns = (
        "pair",
        "state",
        "embedder",
        "fingerprint",
        "dim",
        "snapshot",
        "watermark",
        "lag",
        "checked",
        "model",
        "reason",
    )
    return Rows(
        columns,
        (
            (
                p["name"],
                p["state"],
                p["embedder"],
                p["fingerprint"][:12],
                p["dimension"],
                p["snapshot"],
                p["watermark"],
                p["lag"],
                _checked(p),
                model(p["model"]),
                p["reason"],
            )
            for p in rows
        ),
        right=("dim", "snapshot", "watermark", "lag"),
    )


def _checked(row: Json) -> str:
    """The last verdict, and how many documents were accepted without a vector."""
    return f"{row['checked'] or 'never'}" + (f", {row['accepted']:,} accepted" if row["accepted"] else "")


def model(facts: Json) -> str:
    """Whether a pair's model answered lately, and whether the store keeps it."""
    words = {"pass": "answers", "fail": "silent", "unknown": "not asked lately"}
    return words[facts["answers"]] + ("" if facts["kept_bytes"] is None else ", kept")


def reconciled(mended: Reconciled) -> Iterator[Part]:
    """What the catalog lacked, what it has again, and what is lost."""
    yield str(mended.setback)
    back = f"{counted(mended.changes, 'change')} of documents and {counted(len(mended.replayed), 'move')}"
    yield f"taken back: {back}"
    if mended.lost_changes:
        yield f"lost for good: {counted(mended.lost_changes, 'change')} of documents; write them again"
    if mended.anew:
        yield "made for moves that are lost; look whether they go where you want:"
        yield history(mended.anew)
    yield "next: `vecrollback catch-up`, then `vecrollback check`"


def _live(state: Json) -> Iterator[str]:
    live = state["alias"].get(LIVE)
    if live is None:
        yield "live       nothing yet: `vecrollback reembed MODEL --name v1 --promote`"
        return
    pair = next(p for p in state["pairs"] if p["name"] == live["pair"])
    behind = f"{counted(pair['lag'], 'change')} behind" if pair["lag"] else "up to date"
    yield f"live       {live['pair']}@{live['snapshot']}  epoch {live['epoch']}  {pair['embedder']}  {behind}"
    if pair["bridged"]:
        again = f"`vecrollback repair {pair['name']}` embeds them again once its model is back"
        yield f"by bridge  {counted(pair['bridged'], 'document')}; {again}"
    if part := pair["cascade"]:
        share = part["covered"] / max(1, part["documents"])
        yield (
            f"cascade    beside {part['source']}: {part['covered']:,} of {counted(part['documents'], 'document')} "
            f"({share:.0%}) have their own vector, {part['embedded']:,} of them for {counted(part['queries'], 'query')}"
        )


def _done(progress: Json) -> str | None:
    return f"{progress['documents']:,}/{progress['total']:,}" if "total" in progress else None


# -- documents --------------------------------------------------------------------------------------------------------


def result(answer: Result) -> Iterator[Part]:
    if not answer.hits:
        yield f"nothing found: {answer.reason}"
    else:
        rows = (
            (n, f"{hit.score:.4f}", hit.id, "stale" if hit.stale else "", clean(hit.text, _TEXT_WIDTH))
            for n, hit in enumerate(answer.hits, 1)
        )
        yield Rows(("#", "score", "id", "", "text"), rows, right=("#", "score"))
    if answer.pair:
        yield f"answered by {answer.pair}@{answer.snapshot}, epoch {answer.epoch}"
    if answer.reranker:
        yield f"in the order of the reranker {answer.reranker}"
    if answer.answered_by == "cascade":
        yield f"by cascade: the pair is not whole yet{_worth(answer)}"
    elif answer.measured and "candidates" in answer.measured:
        yield f"by {answer.answered_by}, because the budget of the cascade is spent"
    elif answer.answered_by != "pair":
        yield f"by {answer.answered_by}, because the model of the live pair does not answer{_worth(answer)}"
    if not answer.current:
        yield "not current: this is what was last known, see `vecrollback status`"
    if answer.doubt:
        yield f"in doubt: {answer.doubt}"


def _worth(answer: Result) -> str:
    """What an answer that is not the live pair's own was measured to be worth."""
    measured = answer.measured
    if not measured or measured.get("ndcg@10") is None:
        return "; what that is worth was not measured"
    share = "" if measured["share"] is None else f", {measured['share']:.2f} of the pair's own"
    return f"; measured nDCG {measured['ndcg@10']:.3f}{share}, {measured['queries']} {measured['kind']} queries"


# -- moves ------------------------------------------------------------------------------------------------------------


def switched(move: Switched) -> Iterator[Part]:
    """What moved; then what was done about the lag; then the proof, or that the move stands without one."""
    searchers = move.searchers
    following = f"{searchers.acknowledged} of {counted(searchers.expected, 'searcher')} follow"
    yield (
        f"{move.alias}: {move.source or 'nothing'} -> {move.target}, epoch {move.epoch}, in {move.switch_ms:.1f} ms; "
        f"{following if searchers.expected else 'no searcher is running'}"
    )
    if searchers.missing:
        yield f"no answer from: {', '.join(searchers.missing)}"
    if move.caught_up is not None:
        yield caught_up(move.caught_up)
    if move.report is not None:
        yield from report(move.report)
    if move.gates:
        yield gates(move.gates)
    if move.caught_up is None and move.lag:
        pair = SnapshotRef.parse(move.target).pair
        yield f"{pair} is {counted(move.lag, 'change')} behind: `vecrollback catch-up {pair}`"


def gates(outcomes: Iterable[GateOutcome]) -> Rows:
    """A line for each gate."""
    return Rows(("gate", "outcome", "what was found"), ((one.gate, one.outcome, one.sentence) for one in outcomes))


def stands(move: Switched) -> str:
    """The sentence for a move that happened while something after it did not go well."""
    pair = SnapshotRef.parse(move.target).pair
    trouble = move.trouble or (f"the check says {move.report.verdict}" if move.report else "")
    return (
        f"the switch itself stands: {move.target} is live. After it: {trouble}\n"
        f"hint: `vecrollback catch-up {pair}`, then `vecrollback check {pair}`"
    )


def caught_up(result: CatchUp) -> str:
    """The line about one pair after a catch-up."""
    by_bridge = f"{result.bridged:,} by bridge, " if result.bridged else ""
    return (
        f"{result.pair}: {counted(result.documents, 'change')} taken in, {counted(result.embedded, 'text')} embedded, "
        f"{result.reused:,} reused, {by_bridge}{result.seconds:.1f} s; "
        f"{counted(result.lag, 'change') + ' left' if result.lag else 'up to date'}"
    )


def history(moves: Iterable[Move]) -> Rows:
    rows = ((m.epoch, when(m.at), m.alias, m.kind, m.source, m.target, m.actor, m.reason) for m in moves)
    return Rows(("epoch", "when", "alias", "kind", "from", "to", "by", "reason"), rows, right=("epoch",))


# -- proof ------------------------------------------------------------------------------------------------------------


def report(checked: Report) -> Iterator[Part]:
    """The verdict, then each finding, then what the certificate says of the rest."""
    yield f"check of {checked.pair}@{checked.snapshot} ({checked.level}): {checked.verdict}"
    if checked.findings:
        rows = ((f.severity, f.kind, f.count, f.law, f.message, _ids(f)) for f in checked.findings)
        yield Rows(("severity", "kind", "count", "broken law", "what was found", "ids"), rows, right=("count",))
    if checked.certificate is not None:
        yield _certified(checked, checked.certificate)


def _certified(checked: Report, certificate: Certificate) -> str:
    audited = checked.level == "audit"
    if not certificate.population and audited:
        return "everything was embedded: certain"
    if not audited and not certificate.bound and certificate.sampled >= certificate.population:
        return f"everything was embedded: certain, none of {counted(certificate.population, 'vector')} is foreign"
    which = "vectors that were not re-embedded" if audited else "vectors"
    sensitivity = f"; sensitivity {certificate.sensitivity:.3f}" if certificate.sensitivity < 1 else ""
    return (
        f"at most {certificate.bound:.2%} of {certificate.population:,} {which} are foreign, at "
        f"{certificate.confidence:.0%} confidence ({certificate.sampled:,} drawn at random, "
        f"{certificate.foreign:,} differed{sensitivity})"
    )


def repaired(before: Report, after: Report | None) -> Iterator[Part]:
    yield from report(before)
    if after is None:
        yield "nothing was changed" if before.findings else "nothing to repair"
    else:
        yield "repaired; and now:"
        yield from report(after)


def _ids(finding: Finding) -> str:
    more = f" and {finding.count - _SHOWN_IDS} more" if finding.count > _SHOWN_IDS else ""
    return ", ".join(finding.ids[:_SHOWN_IDS]) + more


# -- snapshots --------------------------------------------------------------------------------------------------------


def snapshots(taken: Json) -> Rows:
    rows = (
        (s["ref"], when(s["created_at"]), s["watermark"], s["chunks"], _recall(s["recall"]), ", ".join(s["tags"]))
        for s in taken
    )
    columns = ("snapshot", "taken", "watermark", "chunks", "recall@10", "tags")
    return Rows(columns, rows, right=("watermark", "chunks", "recall@10"))


def _recall(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def facts(values: Json) -> Rows:
    """Names and values, one a line; what is nested is shown as JSON."""
    return Rows(("", ""), ((name, _plain(value)) for name, value in values.items()), header=False)


def _plain(value: Json) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
