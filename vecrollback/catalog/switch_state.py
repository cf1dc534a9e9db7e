"""The one read that a switch decides on."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from vecrollback.catalog.bridges import find_bridge
from vecrollback.catalog.pairs import find_snapshot
from vecrollback.catalog.reports import newest_report
from vecrollback.catalog.schema import alias as alias_table
from vecrollback.catalog.schema import corpus, model_answer, pair, report, snapshot
from vecrollback.catalog.searchers import Searchers
from vecrollback.catalog.tenures import Tenures
from vecrollback.records import AliasTarget, ModelAnswer, Pair, PairFacts, Snapshot, SwitchState, Tenure, Verdict


def read_switch_state(
    connection: sa.Connection,
    searchers: Searchers,
    alias: str,
    *,
    pair: str | None,
    ref: str | None,
    until: Callable[[PairFacts], bool] | None,
    standbys: bool,
) -> SwitchState:
    """Read it inside a transaction; see `Catalog.switch_state`."""
    aliases = {row.name: AliasTarget(row.pair, row.snapshot, row.epoch) for row in connection.execute(_aliases)}
    tenures, target = Tenures(connection, alias), aliases.get(alias)
    serving = target.pair if target else None
    named_snapshot = find_snapshot(connection, ref) if ref is not None else None
    before = []
    for name, tenure in tenures.newest() if until else ():
        if name != serving:
            before.append(_facts(connection, name, tenure, serving))
            if until and until(before[-1]):
                break
    live = _facts(connection, serving, tenures.of(serving), serving) if serving else None
    named = _facts(connection, pair, tenures.of(pair), serving) if pair is not None else None
    backends = [one.pair.backend for one in (live, named, *before) if one and one.pair]
    answer = None
    if named_snapshot:
        row = connection.execute(_backend_and_answer, {"name": named_snapshot.pair}).one_or_none()
        if row is not None:
            answer = _answer(row._mapping)
            backends.append(row.backend)
    return SwitchState(
        alias=alias,
        aliases=aliases,
        head=connection.scalar(_head) or 0,
        live=live,
        before=tuple(before),
        named=named,
        snapshot=named_snapshot,
        answer=answer,
        standbys=tuple(connection.scalars(_standbys)) if standbys else (),
        searchers=tuple(searchers.alive_in(connection, alias)),
        in_database=any(backends),
    )


_aliases = sa.select(alias_table).order_by(alias_table.c.name)
_head = sa.select(corpus.c.head)
_standbys = sa.select(pair.c.name).where(pair.c.state == "standby").order_by(pair.c.name)
_verdict = (
    sa.select(report.c.verdict)
    .where(report.c.pair == pair.c.name)
    .order_by(report.c.number.desc())
    .limit(1)
    .scalar_subquery()
)
_serves = sa.and_(snapshot.c.pair == pair.c.name, snapshot.c.number == pair.c.snapshot)
_answer_columns = [column.label(f"answer_{column.name}") for column in model_answer.c]
_answers = model_answer.c.pair == pair.c.name
_backend_and_answer = (
    sa.select(pair.c.backend, *_answer_columns)
    .select_from(pair.outerjoin(model_answer, _answers))
    .where(pair.c.name == sa.bindparam("name"))
)
_pair_facts = (
    sa.select(
        *pair.c,
        _verdict.label("verdict"),
        *(column.label(f"snapshot_{column.name}") for column in snapshot.c),
        *_answer_columns,
    )
    .select_from(pair.outerjoin(snapshot, _serves).outerjoin(model_answer, _answers))
    .where(pair.c.name == sa.bindparam("name"))
)


def _answer(values: sa.RowMapping) -> ModelAnswer | None:
    """What a pair's model did when it was asked last, from a row with those columns."""
    if values["answer_pair"] is None:
        return None
    return ModelAnswer(**{column.name: values[f"answer_{column.name}"] for column in model_answer.c})


def _fitness(connection: sa.Connection, name: str, verdict: Verdict | None) -> Verdict | None:
    """The verdict on the pair alone; only a report that does not pass has to be read for it."""
    if verdict in (None, "pass"):
        return verdict
    newest = newest_report(connection, name)
    return newest.fitness if newest else verdict


def _facts(connection: sa.Connection, name: str, tenure: Tenure | None, serving: str | None) -> PairFacts:
    row = connection.execute(_pair_facts, {"name": name}).one_or_none()
    if row is None:
        return PairFacts(name, None, None, None, tenure)
    values, answer = row._mapping, _answer(row._mapping)
    silent = serving is not None and answer is not None and answer.standing == "fail"
    return PairFacts(
        name,
        Pair(**{column.name: values[column.name] for column in pair.c}),
        Snapshot(**{column.name: values[f"snapshot_{column.name}"] for column in snapshot.c})
        if values["snapshot_pair"]
        else None,
        _fitness(connection, name, values["verdict"]),
        tenure,
        answer,
        find_bridge(connection, serving, name) if silent and serving else None,
    )
