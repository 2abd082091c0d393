"""Demo players: a handful that score now and then through the API, so that a fresh page is alive.

Each rests shortly below 1000 points. What they have is read from the board each time, and a submission is keyed by it:
a board that lags behind cannot lead above the ceiling, because the key was used already.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from ops.client import Api
from ops.http_client import Connection

PLAYERS = ("ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "radia")
CEILING = 1000
"""No demo player ever reaches it."""
_PAUSE_S = (0.8, 2.2)
_AFTER_TROUBLE_S = 2.0
_STEPS = (5, 60)


def next_delta(score: int, chance: random.Random) -> int:
    """By how much a player scores next; 0 when it rests."""
    room = CEILING - 1 - score
    return min(chance.randint(*_STEPS), room) if room > 0 else 0


async def play(api: Api, chance: random.Random) -> None:
    """Score until everyone rests."""
    connection = api.connect(timeout_s=5)
    playing = list(PLAYERS)
    while playing:
        name = chance.choice(playing)
        try:
            if not await _score_once(api, connection, name, chance):
                playing.remove(name)
        except OSError:
            await asyncio.sleep(_AFTER_TROUBLE_S)
        await asyncio.sleep(chance.uniform(*_PAUSE_S))


async def _score_once(api: Api, connection: Connection, name: str, chance: random.Random) -> bool:
    """One player's turn; false when it rests. A refusal (a limit, a key used before) is a turn without a score."""
    standing = await api.standing(connection, name)
    score = standing["score"] if standing else 0
    delta = next_delta(score, chance)
    if delta:
        await api.submit(connection, token=api.token(name), value=delta, key=f"demo-{name}-{score}")
    return delta > 0


def main() -> int:
    """Play for as long as the process lives."""
    parser = argparse.ArgumentParser(prog="python -m ops.demo", description=__doc__)
    parser.add_argument("--url", help="of the API (default: the local stack's)")
    parser.add_argument("--seed", type=int, help="repeat a game")
    given = parser.parse_args()
    asyncio.run(_stay(Api.find(given.url), random.Random(given.seed)))
    return 0


async def _stay(api: Api, chance: random.Random) -> None:
    await play(api, chance)
    await asyncio.Event().wait()  # an end would look like a fault to who keeps this process alive


if __name__ == "__main__":
    sys.exit(main())
