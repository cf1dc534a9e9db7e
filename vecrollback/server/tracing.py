"""OpenTelemetry spans by its conventions for HTTP servers; without the extra `otel` there are none."""

from __future__ import annotations

from importlib.util import find_spec

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecrollback.errors import MissingDependencyError
from vecrollback.records import Result


def require() -> None:
    """Raises MissingDependencyError unless spans can be made and sent."""
    for package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            found = find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise MissingDependencyError(package, "otel")


def export() -> None:
    """Send this process's spans where the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, ...)."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What is given here would win over OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, so it is given only without.
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "vecrollback"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


class Spans:
    """An ASGI middleware: one server span a request, below the caller's own when it sent `traceparent`."""

    def __init__(self, app: ASGIApp) -> None:
        from opentelemetry import trace

        self._app = app
        self._tracer = trace.get_tracer("vecrollback")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry import propagate, trace

        method = scope["method"]
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        facts = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
            **(
                dict(zip(("server.address", "server.port"), scope["server"], strict=True))
                if scope.get("server")
                else {}
            ),
        }
        with self._tracer.start_as_current_span(
            method, context=propagate.extract(carrier), kind=trace.SpanKind.SERVER, attributes=facts
        ) as span:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_attribute("error.type", str(message["status"]))
                        span.set_status(trace.StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, noted)
            if (route := getattr(scope.get("route"), "path", None)) is not None:
                span.set_attribute("http.route", route)
                span.update_name(f"{method} {route}")


def note_answer(results: list[Result]) -> None:
    """Say on the current span which pair answered."""
    from opentelemetry import trace

    if results:
        span = trace.get_current_span()
        span.set_attribute("vecrollback.pair", results[0].pair)
        span.set_attribute("vecrollback.epoch", results[0].epoch)
        span.set_attribute("vecrollback.queries", len(results))
