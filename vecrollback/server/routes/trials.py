"""Going forward step by step: what the gates say of a pair, and a pair that is tried on part of the traffic."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request, Response

from vecrollback.errors import UnknownNameError
from vecrollback.records import CanaryStatus
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.moves import run_while_asked
from vecrollback.server.operation_schemas import CanaryAdvanceRequest, CanaryStartRequest, ReasonRequest
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["trials"])

_GATE = {"gate": "lag = 0", "outcome": "pass", "sentence": "it lacks 0 changes", "measured": 0.0, "needed": 0.0}
_GATES = {"pair": "v2", "snapshot": 1, "passed": True, "outcomes": [_GATE], "live": "v1", "epoch": 3}
_RUN = {
    "number": 1,
    "alias": "live",
    "pair": "v2",
    "baseline": "v1",
    "step": 1,
    "share": 5.0,
    "shadow": 20.0,
    "policy": {"shadow": 20.0, "steps": [5, 25, 100], "bake_seconds": 600.0},
    "since": 1769860800.0,
    "started_at": "2026-01-31T12:00:00.000000+00:00",
    "started_by": "anna",
    "ended_at": None,
    "ended_by": "",
    "end_reason": "",
}
_STATUS = {
    "canary": _RUN,
    "standing": "undecided",
    "judgements": [],
    "observed": {},
    "baked": 20.0,
    "bake_seconds": 600.0,
    "next_share": 25.0,
}


@router.get("/gates", responses=answers(409, example=_GATES))
async def gates(
    _: Operating, service: Service, pair: str | None = Query(None, min_length=1, max_length=200)
) -> Response:
    """Whether a pair, by default the candidate, would pass the gates of a promote now. Moves nothing."""
    return as_json(payloads.gated(await service.inspections.run(service.store.gates.look, pair)))


@router.get("/canary", responses=answers(example={"running": _STATUS, "history": [_RUN]}))
async def canary(_: Reading, service: Service, limit: int = Query(10, ge=1, le=1_000)) -> Response:
    """The canary that runs, null when none does, and those that there were, newest first."""

    def look() -> tuple[CanaryStatus | None, list[dict[str, object]]]:
        history = [payloads.canary(one) for one in service.store.canaries.history(limit=limit)]
        try:
            return service.store.canaries.status(), history
        except UnknownNameError:
            return None, history

    running, history = await service.reads.run(look)
    return as_json({"running": payloads.canary_status(running) if running else None, "history": history})


@router.post("/canary", responses=answers(409, example=_STATUS))
async def start(body: CanaryStartRequest, caller: Operating, service: Service) -> Response:
    """Let a candidate answer beside the live pair, or for the first share of the callers; `[canary]` says which."""

    def begin() -> CanaryStatus:
        return service.store.canaries.start(body.pair, reason=body.reason, override=body.override, actor=caller.name)

    return as_json(payloads.canary_status(await service.operations.run(begin)))


@router.post("/canary/advance", responses=answers(409, example=_STATUS))
async def advance(body: CanaryAdvanceRequest, caller: Operating, service: Service) -> Response:
    """Give the candidate the next share; refused before its time is over and while the test has not said better."""

    def step() -> CanaryStatus:
        return service.store.canaries.advance(
            override=body.override, reason=body.reason, expected_step=body.expected_step, actor=caller.name
        )

    return as_json(payloads.canary_status(await service.operations.run(step)))


@router.post("/canary/stop", responses=answers(409, example=_RUN))
async def stop(body: ReasonRequest, caller: Operating, service: Service, request: Request) -> Response:
    """End the canary: from the next query on everybody is answered by the live pair again."""

    def end() -> dict[str, object]:
        return payloads.canary(service.store.canaries.stop(reason=body.reason, actor=caller.name))

    return as_json(await run_while_asked(request, service.moves, end))
