"""Whether the parts that the API needs answer: asked together, briefly, and at most once a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

CHECK_TIMEOUT_S: Final = 1.0
KEEP_S: Final = 1.0

_log = logging.getLogger(__name__)


class Health:
    """Pings of the parts. However many ask, one round runs at a time and its result is kept for a moment."""

    def __init__(self, pings: Mapping[str, Callable[[], Awaitable[bool]]]) -> None:
        self._pings = pings
        self._round: asyncio.Task[dict[str, str]] | None = None
        self._asked_at = 0.0

    async def parts(self) -> dict[str, str]:
        """Return part -> `up` or `down`."""
        now = asyncio.get_running_loop().time()
        if self._round is None or (self._round.done() and now - self._asked_at > KEEP_S):
            self._asked_at = now
            self._round = asyncio.create_task(self._ask())
        return await asyncio.shield(self._round)

    async def _ask(self) -> dict[str, str]:
        answers = await asyncio.gather(*(self._answers(name, ping) for name, ping in self._pings.items()))
        return dict(zip(self._pings, answers, strict=True))

    async def _answers(self, name: str, ping: Callable[[], Awaitable[bool]]) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return "up" if await ping() else "down"
        except Exception as error:  # whatever it is, the part is of no use now
            _log.debug("%s does not answer: %r", name, error)
            return "down"
