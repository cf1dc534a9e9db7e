"""Wrong tokens are answered late, and later each time: whoever sends them, by address; nobody else waits.

A token has 256 random bits, so that guessing one is hopeless at any speed. What this keeps small is what a client with
a wrong token costs: answers, lines of the log. It never looks at a right token, which opens at once also where others
of the same address, such as all that come through one proxy, send wrong ones.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict

from vecrollback.errors import OverloadedError

_FREE = 5
_FIRST_SECONDS, _LONGEST_SECONDS = 0.2, 5.0
_FORGIVEN_SECONDS = 300.0
_ADDRESSES = 4_096
_WAITING = 256


class WrongTokens:
    """Wrong tokens by address: the first few are answered at once, the others wait twice as long each time, up to 5 s.

    It remembers 4,096 addresses, of IPv6 the network (/64), for five minutes after the last wrong one. Where 256
    answers wait, the next one is refused at once.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._counts)

    async def hold_up(self, address: str) -> None:
        """Note a wrong token of an address, and wait as long as it has to. Raises OverloadedError."""
        seconds = self._note(_network(address))
        if not seconds:
            return
        if self._waiting >= _WAITING:
            raise OverloadedError(f"{self._waiting} wrong tokens wait for their answer", hint="send the right one")
        self._waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting -= 1

    def _note(self, network: str) -> float:
        """Count a wrong token; returns the seconds that its answer takes."""
        present = time.monotonic()
        count, last = self._counts.pop(network, (0, present))
        count = 1 if present - last > _FORGIVEN_SECONDS else count + 1
        self._counts[network] = (count, present)
        if len(self._counts) > _ADDRESSES:
            self._counts.popitem(last=False)
        # Bounded before it is raised: nobody counts how often somebody has tried.
        return 0.0 if count <= _FREE else min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(count - _FREE - 1, 16))


def _network(address: str) -> str:
    """What is counted as one: whoever has an IPv6 address has 2^64 of them."""
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:  # a server of both sees IPv4 so
        host = host.ipv4_mapped
    return str(ipaddress.ip_network((host, 64), strict=False)) if host.version == 6 else str(host)
