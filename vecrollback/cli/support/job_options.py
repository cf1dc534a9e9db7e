"""Options of every command that embeds: where it works, and how hard."""

from __future__ import annotations

from typing import Annotated

import typer

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
