"""Logs as one JSON object a line, for whatever collects them. No query, no text and no token is ever in one."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record's message, and what came with it in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        entry = {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry |= {"process": record.process} | {k: v for k, v in vars(record).items() if k not in _PLAIN}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def to_stderr(level: int = logging.INFO) -> None:
    """Send everything that this process logs to stderr, replacing what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("vecrollback", "uvicorn"):
        logging.getLogger(name).setLevel(level)
