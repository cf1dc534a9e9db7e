"""What several commands share: options of those that embed, audit or decide, shapes of answers, exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.records import Report

_PANEL = "Effort"

EngineOption = Annotated[
    str,
    typer.Option(
        metavar="ENGINE",
        help="Where to embed: inline, local:N processes, dask:N, or dask://scheduler:8786.",
        rich_help_panel=_PANEL,
    ),
]
IdleOption = Annotated[
    bool, typer.Option("--idle", help="Embed only when nothing else wants the processor.", rich_help_panel=_PANEL)
]
LoadOption = Annotated[
    float | None,
    typer.Option(min=0, metavar="CORES", help="Wait while others keep more cores busy.", rich_help_panel=_PANEL),
]
WindowOption = Annotated[
    str | None,
    typer.Option(metavar="HH:MM-HH:MM", help="Hours of the day to work in, local time.", rich_help_panel=_PANEL),
]
AccelerateOption = Annotated[
    str,
    typer.Option(
        metavar="RUNTIME",
        help="off, auto, torch, torch-onednn, torch-bf16, onnx, openvino, openvino-bf16: if the probes agree.",
        rich_help_panel=_PANEL,
    ),
]


APPROVAL = "{number, kind, state, target, epoch, reason, asked_by, at, needed, decisions, trigger, override, planned}"
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The request, as `vecrollback approvals` lists it.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the request.")]


REPORT = (
    "{pair, snapshot, level, verdict: pass|fail|unknown, "
    "findings: [{law, kind, count, ids, message, severity, about}], "
    "certificate: {sampled, foreign, population, bound, confidence, sensitivity}|null, watermark, head, at, examined}"
)
PairArgument = Annotated[str | None, typer.Argument(metavar="[PAIR]", help="Default: the live pair.")]


def share(value: str) -> float:
    """Read a share of everything: 1% or 0.01."""
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is neither like 1% nor like 0.01") from None
    if not 0 < number < 1:
        raise typer.BadParameter(f"{value} is not between 0% and 100%")
    return number


def exit_by(report: Report) -> None:
    """End with exit code 1 unless the report passes: what could not be examined is not OK."""
    if report.verdict != "pass":
        raise typer.Exit(1)


KeepModelOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-model/--no-keep-model",
        help="Keep the model's files in the store. Default: unless they are over keep_model_limit.",
    ),
]
EmbedderArgument = Annotated[
    str,
    typer.Argument(
        help="The model: a hub name or a directory, openai:MODEL?..., hash:DIM?seed=N, or module:function.",
    ),
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the pair. Default: from the embedder.")
]
IndexOption = Annotated[
    str,
    typer.Option("--index", metavar="SPEC", help="auto, a FAISS factory string, lance:..., or shards:N(SPEC)"),
]
