"""Spans say how long and for which pair, never what somebody asked; without OpenTelemetry they cost nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vecrollback.storage.spans import span


def test_a_failed_piece_of_work_says_its_class_and_not_its_words() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="pip install 'vecrollback[otel]'")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = trace.get_tracer
    trace.get_tracer = provider.get_tracer  # type: ignore[assignment]
    try:
        with span("check", pair="v1") as note:
            note(verdict="pass")
        with pytest.raises(ValueError, match="private"), span("embed", pair="v1", texts=1):
            raise ValueError("private words")
    finally:
        trace.get_tracer = before
    check, embed = exporter.get_finished_spans()
    assert (check.name, dict(check.attributes or {})) == (
        "vecrollback.check",
        {"vecrollback.pair": "v1", "vecrollback.verdict": "pass"},
    )
    assert (embed.attributes or {})["error.type"] == "ValueError"
    assert embed.status.status_code is trace.StatusCode.ERROR
    assert "private" not in embed.to_json()


def test_nothing_is_imported_for_a_span_that_nobody_asked_for() -> None:
    code = (
        "import sys\nfrom vecrollback.storage.spans import span\nwith span('switch', kind='rollback') as note:\n"
        "    note(epoch=3)\nprint('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
