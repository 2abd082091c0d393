"""The plain model that the real parts are held against, and makers of what they work on."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterable, Sequence

from scoreboard.boards import MAX_SAFE_INTEGER, Board, Mark, Operator, SortOrder, combine
from scoreboard.events import ScoreEvent
from scoreboard.ranking import sort_key
from scoreboard.standings import Entry, entries_from

START_US = 1_790_000_000_000_000
"""A time in 2026, microseconds since 1970."""

USERS = ("ada", "Ada", "bob", "bo", "_", "a.b", "a|b", "a-b", "a:b", "a@b", "Z", "z" * 64)
"""Names that any order but that of bytes puts elsewhere."""

_numbers = itertools.count()


def board(
    operator: Operator = Operator.INCR,
    order: SortOrder = SortOrder.DESC,
    *,
    min_change: int = -1000,
    max_change: int = 1000,
    min_score: int = -MAX_SAFE_INTEGER,
    max_score: int = MAX_SAFE_INTEGER,
) -> Board:
    """A board of its own name."""
    return Board(
        board_id=f"board-{next(_numbers)}",
        operator=operator,
        sort_order=order,
        min_change=min_change,
        max_change=max_change,
        min_score=min_score,
        max_score=max_score,
    )


def event(
    user_id: str = "ada",
    value: int = 5,
    *,
    board_id: str = "global",
    at: int = START_US,
    event_id: uuid.UUID | None = None,
) -> ScoreEvent:
    """One event."""
    return ScoreEvent(
        event_id=event_id or uuid.uuid4(),
        board_id=board_id,
        user_id=user_id,
        value=value,
        accepted_at=at,
        submitted_by=user_id,
    )


def random_events(rng: random.Random, board_id: str, count: int, users: Sequence[str] = USERS) -> list[ScoreEvent]:
    """Events that meet often: few users, few values, few times."""
    return [
        event(
            rng.choice(users),
            rng.randint(-3, 3),
            board_id=board_id,
            at=START_US + rng.randint(0, 4),
            event_id=uuid.UUID(int=rng.getrandbits(128)),
        )
        for _ in range(count)
    ]


def marks(rules: Board, events: Iterable[ScoreEvent]) -> dict[str, Mark]:
    """What everyone has after some events, each counted once."""
    reached: dict[str, Mark] = {}
    seen: set[uuid.UUID] = set()
    for each in events:
        if each.event_id not in seen:
            seen.add(each.event_id)
            reached[each.user_id] = combine(rules, reached.get(each.user_id), each.value, each.accepted_at)
    return reached


def ranking(rules: Board, reached: dict[str, Mark]) -> tuple[Entry, ...]:
    """The whole board, best first."""
    rows = [(user_id, mark.score, mark.reached_at) for user_id, mark in reached.items()]
    return entries_from(1, sorted(rows, key=lambda row: sort_key(rules.sort_order, row[1], row[2], row[0])))


def cut(rng: random.Random, events: Sequence[ScoreEvent], *, duplicates: float = 0.25) -> list[list[ScoreEvent]]:
    """What a queue makes of events: some twice, in any order, in batches of any size."""
    delivered = [*events, *(each for each in events if rng.random() < duplicates)]
    rng.shuffle(delivered)
    batches = []
    while delivered:
        size = rng.randint(1, 10)
        batches.append(delivered[:size])
        delivered = delivered[size:]
    return batches
