"""Notices to people: each goes to an outbox in the catalog first, and is sent from there until its channel takes it.

A rollback only writes to the outbox, and goes on if it cannot: it must not wait for a mail server (law 7). Sending is
the work of whichever process looks after the outbox: a server, a worker, a watch, or the command that wrote to it.
"""

from __future__ import annotations

import json
import logging
import os
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from email.message import EmailMessage

from vecrollback.catalog import Catalog
from vecrollback.errors import FailedError
from vecrollback.records import Json, Notice
from vecrollback.storage.signing import HEAD, find_key, head_content
from vecrollback.storage.trust import require_no_link_local
from vecrollback.switching.policy import Policy
from vecrollback.switching.policy.model import Channel

_log = logging.getLogger(__name__)
_FIRST_SECONDS, _LAST_SECONDS, _ATTEMPTS = 5.0, 3600.0, 12
"""Waits double from the first to the last; after as many attempts, most of a day, a notice counts as failed."""
_SEND_SECONDS, _LINGER_SECONDS = 10.0, 3.0
_LOCK = "notices"


class Notifications:
    """The outbox of one store. `policy` gives the channels in force when it is asked."""

    def __init__(self, catalog: Catalog, policy: Callable[[], Policy | None]) -> None:
        self._catalog, self._policy = catalog, policy
        self._thread: threading.Thread | None = None

    def announce(self, event: str, text: str, facts: Mapping[str, Json] | None = None) -> bool:
        """`tell`, and `send_soon` where there is anybody to send it to: the policy is read once for both.

        Args:
            event: What kind of message it is; a channel may want only some kinds.
            text: One line.
            facts: What programs are to know.

        Returns:
            Whether it is in the outbox. Raises nothing: what it tells of goes on.
        """
        try:
            channels = self._channels()
            self._put(channels, event, text, facts)
        except Exception as error:
            _log.error("nobody is told of %s: %s", event, error)
            return False
        if channels:
            self.send_soon(channels)
        return True

    def tell(self, event: str, text: str, facts: Mapping[str, Json] | None = None) -> bool:
        """Put a message into the outbox; whether it could be. Raises nothing: what it tells of goes on."""
        try:
            self._put(self._channels(), event, text, facts)
        except Exception as error:
            _log.error("nobody is told of %s: %s", event, error)
            return False
        return True

    def _put(self, channels: Mapping[str, Channel], event: str, text: str, facts: Mapping[str, Json] | None) -> None:
        names = [one.name for one in channels.values() if not one.events or event in one.events]
        body: dict[str, Json] = {
            "event": event,
            "text": text,
            "store": self._catalog.place,
            "host": socket.gethostname(),
        }
        body |= {"facts": dict(facts or {}), "store_id": self._catalog.store_id} | (self._anchor() if names else {})
        self._catalog.notices.add(names, body, due=time.time())

    def _anchor(self) -> dict[str, Json]:
        """The last move: in a mailbox, out of reach of whoever can write the catalog. `history verify` compares it."""
        head = self._catalog.aliases.newest_move()
        if head is None:
            return {}
        anchor: dict[str, Json] = {"history": {"number": head.number, "hash": head.hash}}
        if (key := find_key()) is not None and key.can_sign:
            anchor["signature"] = key.sign(HEAD, head_content(self._catalog.store_id, head.number, head.hash))
        return anchor

    def send_soon(self, channels: Mapping[str, Channel] | None = None) -> None:
        """Send what is due on a thread of its own, for a process that ends soon; `close` waits for it a little."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._send_quietly, args=(channels,), name="vecrollback-notices", daemon=True
            )
            self._thread.start()

    def send_due(self, channels: Mapping[str, Channel] | None = None) -> int:
        """Try every notice whose time has come, once, by these channels (those of the policy); returns how many went.

        The rest of a channel that fails waits for the next time.
        A notice that no channel of this name takes counts as failed.
        """
        count = 0
        if channels is None:
            channels = self._channels()
        if not channels:
            return 0
        # One sender at a time, else two processes would send the same notice. Who comes second leaves it to the first.
        with self._catalog.lock(_LOCK, timeout=0.0):
            silent: set[str] = set()
            for notice in self._catalog.notices.due(time.time()):
                if notice.channel in silent:
                    continue  # each try may take its whole time, while a notice by another channel waits
                if self._try(notice, channel := channels.get(notice.channel)):
                    count += 1
                elif channel is not None:
                    silent.add(notice.channel)
        return count

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Notice]:
        """Notices, newest first."""
        return self._catalog.notices.all(state=state, limit=limit)

    def close(self) -> None:
        """Wait a little for what is being sent; whatever is not delivered by then stays in the outbox."""
        if self._thread is not None:
            self._thread.join(_LINGER_SECONDS)

    def use(self, policy: Policy) -> None:
        """Take the channels from this policy, whatever the store's own says."""
        self._policy = lambda: policy

    def _channels(self) -> dict[str, Channel]:
        policy = self._policy()
        return {one.name: one for one in policy.channels} if policy else {}

    def _send_quietly(self, channels: Mapping[str, Channel] | None) -> None:
        try:
            self.send_due(channels)
        except Exception as error:  # also that the store was closed meanwhile
            _log.info("notices wait: %s", error)

    def _try(self, notice: Notice, channel: Channel | None) -> bool:
        try:
            if channel is None:
                raise FailedError(f"the policy has no channel {notice.channel!r} any more")
            _SENDERS[channel.kind](channel, notice.body)
        except Exception as error:
            last = notice.attempts + 1 >= _ATTEMPTS
            wait = min(_LAST_SECONDS, _FIRST_SECONDS * 2**notice.attempts)
            _log.warning("notice %d to %s: %s", notice.number, notice.channel, error)
            state = "failed" if last else "waiting"
            self._catalog.notices.tried(notice.number, state, due=time.time() + wait, error=str(error))  # type: ignore[arg-type]
            return False
        self._catalog.notices.tried(notice.number, "sent", due=notice.due)
        return True


def _webhook(channel: Channel, body: Mapping[str, Json]) -> None:
    """POST what Slack's incoming webhooks take, `{"text"}`, with everything else beside it for other receivers."""
    import httpx

    url = channel.url or _secret(channel.url_env)
    require_no_link_local(url)
    answer = httpx.post(url, json={**body, "text": _line(body)}, timeout=_SEND_SECONDS)
    if answer.status_code >= 300:
        raise FailedError(f"the webhook answered {answer.status_code}")


def _email(channel: Channel, body: Mapping[str, Json]) -> None:
    message = EmailMessage()
    message["Subject"] = _line(body)[:200]
    message["From"] = channel.sender or f"vecrollback@{socket.gethostname()}"
    message["To"] = ", ".join(channel.to)
    message.set_content(f"{_line(body)}\n\n{json.dumps(body, indent=2, ensure_ascii=False)}\n")
    with smtplib.SMTP(channel.host, channel.port, timeout=_SEND_SECONDS) as server:
        if channel.starttls:
            server.starttls()
        if channel.user:
            server.login(channel.user, _secret(channel.password_env))
        server.send_message(message)


def _command(channel: Channel, body: Mapping[str, Json]) -> None:
    """Run a command with the message as JSON on its standard input."""
    process = subprocess.run(
        list(channel.command), input=json.dumps(body).encode(), capture_output=True, timeout=_SEND_SECONDS, check=False
    )
    if process.returncode:
        message = process.stderr.decode(errors="replace").strip()[-200:]
        raise FailedError(f"{channel.command[0]} ended with {process.returncode}: {message}")


_SENDERS: Mapping[str, Callable[[Channel, Mapping[str, Json]], None]] = {
    "webhook": _webhook,
    "email": _email,
    "command": _command,
}


def _line(body: Mapping[str, Json]) -> str:
    return f"vecrollback {body['event']}: {' '.join(str(body['text']).split())}"


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise FailedError(f"the environment variable {name!r} is not set")
    return value
