"""The keys that tokens are checked with, kept as they are now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from scoreboard.auth import Keyring

_log = logging.getLogger(__name__)


class LiveKeyring:
    """The keyring of this process; requests read `current` and never wait for it."""

    def __init__(self, read: Callable[[], Keyring], *, interval_s: float) -> None:
        """Take `read`, which tells the keyring and may block."""
        self.current = read()
        self._read = read
        self._interval_s = interval_s

    async def run(self) -> None:
        """Read it again and again, until cancelled; no failure ends that, and what was read last stays."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                self.current = await asyncio.to_thread(self._read)
            except Exception:
                _log.exception("the keys of tokens cannot be read again")
