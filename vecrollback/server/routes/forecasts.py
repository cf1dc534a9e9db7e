"""What a model would be worth, over HTTP. Only models that whoever runs the server has named can be asked for."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response

from vecrollback.embedders.service_profile import expand
from vecrollback.errors import EmbedderSpecError, UsageError
from vecrollback.records import Forecast, ProgressCallback
from vecrollback.server.auth import Operating
from vecrollback.server.routes.jobs import EXAMPLE as JOB
from vecrollback.server.routes.jobs import shown
from vecrollback.server.schemas import ForecastRequest, answers, as_json
from vecrollback.server.service import Service
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["operating"])

_log = logging.getLogger(__name__)
_PROFILE = re.compile(r"profile:[\w-]+")
"""Without arguments of its own, which win over the profile's: a caller's address would get the profile's key."""
_DIFFERENCE = {
    "measure": "ndcg@10",
    "queries": 120,
    "a": 0.61,
    "b": 0.66,
    "difference": 0.05,
    "low": 0.02,
    "high": 0.08,
    "p": 0.001,
}
_SLICES = (("language", "en"), ("namespace", "team-7"), ("length", "up to 900 characters"))
_FORECAST = {
    "embedder": "profile:better",
    "live": "v1@3",
    "sample": 250,
    "documents": 5000,
    "queries": 120,
    "kind": "golden",
    "difference": _DIFFERENCE,
    "error": 0.01,
    "bridged": None,
    "overlap": 0.4,
    "seconds": 90.0,
    "tokens": 600_000,
    "dollars": 0.01,
    "slices": [{"by": by, "value": value, "difference": _DIFFERENCE} for by, value in _SLICES],
    "verdict": "upgrade",
    "sentence": "upgrade: nDCG@10 0.660 against 0.610 of v1@3, ...",
}
_AS_JOB: dict[int | str, Any] = {
    202: {"description": "It goes on as a job", "content": {"application/json": {"example": {"job": JOB}}}}
}


@router.post("/forecast", responses=answers(409, example=_FORECAST) | _AS_JOB)
async def forecast(body: ForecastRequest, caller: Operating, service: Service) -> Response:
    """Tell what a model would be worth before the corpus is embedded by it. Writes nothing unless it is to `keep`."""
    names = {pair.name for pair in await service.reads.run(service.store.pairs)}
    if body.model not in names and not await service.reads.run(_is_profile, body.model, service.store.root):
        raise UsageError(
            f"{body.model!r} is neither a pair nor a profile",
            hint="`profile:NAME` of vecrollback.toml, or `vecrollback forecast` on the server's host",
        )

    def tell(progress: ProgressCallback) -> Forecast:
        return service.store.forecast(body.model, sample=body.sample, seed=body.seed, keep=body.keep, progress=progress)

    await service.writes.run(service.audited, caller.name, "forecast", body.model)
    if body.wait:
        return as_json(payloads.forecast(await service.operations.run(tell, service.progress())))
    live = await service.reads.run(service.store.live)
    job = await service.writes.run(service.start, "forecast", live.name, tell)
    return as_json({"job": shown(job.status())}, 202)


def _is_profile(model: str, root: Path) -> bool:
    """Whether whoever runs the server has named it. Any other string may name code, or any address."""
    if not _PROFILE.fullmatch(model):
        return False
    try:
        expand(model, root)
    except EmbedderSpecError as error:
        _log.info("a forecast was asked for: %s", error)
        return False
    return True
