"""Moving what is live, and proving it. All of it runs on threads: a promote may take as long as its catch-up."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query, Request, Response

from vecrollback.errors import UnknownNameError
from vecrollback.records import Bridge, CorpusRollback, ProgressCallback, Report, Switched
from vecrollback.reembedding.jobs import Job
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.moves import move_and_prove, run_while_asked
from vecrollback.server.routes.jobs import EXAMPLE as JOB
from vecrollback.server.routes.jobs import shown
from vecrollback.server.schemas import (
    AskRequest,
    BridgeRequest,
    CheckRequest,
    CorpusRollbackRequest,
    PromoteRequest,
    RestoreRequest,
    RollbackRequest,
    SwitchedAnswer,
    answers,
    as_json,
)
from vecrollback.server.service import Service, StoreService
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["operating"])

_SWITCHED = {
    "alias": "live",
    "from": "v2@1",
    "to": "v1@1",
    "epoch": 3,
    "switch_ms": 4.2,
    "searchers": {"expected": 4, "acknowledged": 4, "missing": []},
    "lag": 12,
    "caught_up": None,
    "check": None,
    "trouble": "",
    "gates": [],
    "bridge": None,
    "threshold": None,
    "move": {
        "number": 5,
        "alias": "live",
        "epoch": 3,
        "kind": "rollback",
        "from": "v2@1",
        "to": "v1@1",
        "reason": "worse answers",
        "actor": "anna",
        "at": "2026-01-31T12:00:00.000000+00:00",
        "previous_hash": "c41f...",
        "hash": "9be2...",
    },
    "warning": "",
    "job": "5f0c2a9be871",
}
_CORPUS = {
    "to": 4711,
    "changed": ["tea"],
    "returning": [],
    "withdrawn": ["new"],
    "kept_new": [],
    "erased": ["gone"],
    "changes": 2,
    "head": 4802,
    "embed": {"v1": 0},
    "dry_run": False,
    "caught_up": [],
    "trouble": "",
}
_REPORT = {"pair": "v1", "snapshot": 1, "level": "full", "verdict": "pass", "findings": [], "certificate": None}
_BRIDGE = {
    "number": 1,
    "source": "v2",
    "target": "v1",
    "source_fingerprint": "9f2c...",
    "target_fingerprint": "41ab...",
    "artifact": "c0ffee....bridge.npz",
    "method": "local maps, ridge 0.01",
    "rows": 5183,
    "worth": {
        "recall": 0.57,
        "held_out": 500,
        "among": 4183,
        "queries": 150,
        "kind": "golden",
        "own": 0.615,
        "bridged": 0.532,
        "stay": 0.478,
        "gain_low": 0.025,
        "gain_high": 0.083,
        "words": None,
    },
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "verdict": "bridge",
    "sentence": "by bridge from v2: measured recall 0.57, nDCG 0.532, 0.87 of v1's own 0.615, against 0.478 of staying "
    "(150 golden queries), a difference of +0.054 (95%: +0.025 to +0.083)",
}
_ANSWER = {
    "pair": "v1",
    "verdict": "pass",
    "said": "it answers, from the files that the store keeps",
    "at": "2026-01-31T12:00:00.000000+00:00",
    "seconds": 0.02,
    "host": "search-1",
}
_AS_JOB: dict[int | str, Any] = {
    202: {"description": "It goes on as a job", "content": {"application/json": {"example": {"job": JOB}}}}
}


@router.post("/promote", responses=answers(409, model=SwitchedAnswer, example=_SWITCHED) | _AS_JOB)
async def promote(body: PromoteRequest, caller: Operating, service: Service, request: Request) -> Response:
    """Let a pair serve: catch it up, check it, have every searcher load it, then move `live`."""

    def move(progress: ProgressCallback) -> Switched:
        return service.store.promote(
            body.pair,
            reason=body.reason,
            override=body.override,
            progress=progress,
            wait=body.wait_seconds,
            actor=caller.name,
            by=body.by,
            per_query=body.per_query,
            per_second=body.per_second,
        )

    if not body.wait:
        return _job_response(await service.writes.run(_begin, service, "promote", body.pair, move))
    outcome = await run_while_asked(request, service.operations, lambda: move(service.progress()))
    return as_json(payloads.switched(outcome) | {"job": None})


@router.post("/rollback", responses=answers(409, model=SwitchedAnswer, example=_SWITCHED))
async def rollback(body: RollbackRequest, caller: Operating, service: Service, request: Request) -> Response:
    """Go back: model and index in one move. Answers once every searcher follows; catch-up and check go on as a job."""

    def move() -> Switched:
        return service.store.rollback(
            body.to,
            reason=body.reason,
            override=body.override,
            catch_up=False,
            wait=body.wait_seconds,
            expected_epoch=body.expected_epoch,
            actor=caller.name,
        )

    outcome, job = await move_and_prove(request, service, "rollback", move, follow=body.catch_up, wait=body.wait)
    return as_json(payloads.switched(outcome) | {"job": job})


@router.post("/corpus/rollback", responses=answers(409, example=_CORPUS) | _AS_JOB)
async def rollback_corpus(
    body: CorpusRollbackRequest, caller: Operating, service: Service, request: Request
) -> Response:
    """Make the documents what they were at a change or a time; what was deleted since stays deleted for good."""
    travel = service.store.time_travel
    if body.dry_run:
        plan = await service.operations.run(travel.plan, body.to, keep_new=body.keep_new)
        return as_json(payloads.corpus_rollback(CorpusRollback(plan, plan.head), dry_run=True))

    def go_back(progress: ProgressCallback) -> CorpusRollback:
        return travel.rollback(
            body.to,
            reason=body.reason,
            keep_new=body.keep_new,
            catch_up=body.catch_up,
            progress=progress,
            actor=caller.name,
        )

    if not body.wait:
        await service.operations.run(travel.plan, body.to)  # refused now, not in the job
        return _job_response(await service.writes.run(_begin, service, "corpus-rollback", None, go_back))
    outcome = await run_while_asked(request, service.operations, lambda: go_back(service.progress()))
    return as_json(payloads.corpus_rollback(outcome))


@router.post("/restore", responses=answers(409, model=SwitchedAnswer, example=_SWITCHED))
async def restore(body: RestoreRequest, caller: Operating, service: Service, request: Request) -> Response:
    """Let one exact snapshot serve; what was deleted since it was taken stays deleted."""
    if body.dry_run:
        plan = await service.moves.run(service.store.plan_restore, body.ref)
        return as_json(asdict(plan) | {"dry_run": True})

    def move() -> Switched:
        return service.store.restore(
            body.ref,
            reason=body.reason or "",
            catch_up=False,
            wait=body.wait_seconds,
            expected_epoch=body.expected_epoch,
            planned=body.planned,
            override=body.override,
            actor=caller.name,
        )

    outcome, job = await move_and_prove(request, service, "restore", move, follow=body.catch_up, wait=body.wait)
    return as_json(payloads.switched(outcome) | {"job": job})


@router.get("/bridges", responses=answers(example={"bridges": [_BRIDGE]}))
async def bridges(_: Reading, service: Service) -> Response:
    """Maps between pairs, newest first, and what each was measured to be worth."""
    return as_json({"bridges": [payloads.bridge(one) for one in await service.reads.run(service.store.bridges)]})


@router.post("/bridges", responses=answers(409, example=_BRIDGE) | _AS_JOB)
async def bridge(body: BridgeRequest, _: Operating, service: Service) -> Response:
    """Learn a map from one pair's model to another pair's space, from vectors that both hold."""

    def learn(progress: ProgressCallback) -> Bridge:
        return service.store.bridge(body.source, body.target, progress=progress)

    if not body.wait:
        return _job_response(await service.writes.run(_begin, service, "bridge", body.target, learn))
    return as_json(payloads.bridge(await service.operations.run(learn, service.progress())))


@router.post("/check", responses=answers(409, example=_REPORT) | _AS_JOB)
async def check(body: CheckRequest, _: Operating, service: Service) -> Response:
    """Audit a pair against the log. Whatever it finds, the answer is 200: see `verdict`."""

    def audit(progress: ProgressCallback) -> Report:
        return service.store.check(
            body.pair,
            body.level,
            bound=body.bound,
            confidence=body.confidence,
            sample=body.sample,
            progress=progress,
        )

    if not body.wait:
        return _job_response(await service.writes.run(_begin, service, "check", body.pair, audit))
    return as_json(payloads.report(await service.operations.run(audit, service.progress())))


@router.get("/check", responses=answers(example=_REPORT))
async def last_check(_: Reading, service: Service, pair: str = Query(min_length=1, max_length=200)) -> Response:
    """The report of a pair's newest check that was kept."""
    report = await service.reads.run(service.store.report, pair)
    if report is None:
        raise UnknownNameError(f"pair {pair!r} was never checked", hint="POST /v1/check")
    return as_json(payloads.report(report))


@router.post("/ask-model", responses=answers(409, example=_ANSWER))
async def ask_model(body: AskRequest, _: Operating, service: Service) -> Response:
    """Let a pair's model embed a few short queries now, and record whether it gave the pair's vectors.

    Rollback and restore pass over a pair whose model did not answer within the last quarter of an hour.
    """
    answer = await service.operations.run(service.store.ask_model, body.pair)
    return as_json(asdict(answer))


def _begin(service: StoreService, kind: str, pair: str | None, work: Any) -> Job[Any]:
    name = service.store.live().name if pair is None else service.store.pair(pair).name
    return service.start(kind, name, work)


def _job_response(job: Job[Any]) -> Response:
    return as_json({"job": shown(job.status())}, 202)
