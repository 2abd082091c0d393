"""The use cases of dead letters: look at them, and send those back that have a cause that is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from scoreboard.boards import Board, Mark, combine
from scoreboard.errors import InvalidEvent, InvalidRequest
from scoreboard.events import ScoreEvent
from scoreboard.ports import AlertMemory, DeadLetter, DeadLetters, ScoreStore
from scoreboard.standings import Standing

TAKE: Final = 10
MOST_LOOKED_AT: Final = 1_000
EXAMPLES: Final = 5


class Kind(StrEnum):
    """What is wrong with a dead letter now, which may be another thing than when it died.

    MALFORMED: It is no score event of a version that is known. UNKNOWN_BOARD: There is no such board. RULE_BROKEN: Its
    board's rules forbid it. APPLICABLE: Nothing; it would be applied, or has been.
    """

    MALFORMED = "malformed"
    UNKNOWN_BOARD = "unknown_board"
    RULE_BROKEN = "rule_broken"
    APPLICABLE = "applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One dead letter, and what is wrong with it."""

    letter: DeadLetter
    kind: Kind
    reason: str


@dataclass(slots=True)
class Look:
    """What is in the queue of dead letters.

    Attributes:
        kinds: Kind -> how many.
        findings: Every letter that was looked at.
        whole: Whether that were all that could be had.
    """

    findings: list[Finding] = field(default_factory=list)
    whole: bool = True

    @property
    def kinds(self) -> Mapping[Kind, int]:
        """Kind -> how many, of every kind."""
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in Kind}


@dataclass(slots=True)
class RedriveReport:
    """What became of the dead letters.

    Attributes:
        kinds: Kind -> how many were found.
        redriven: How many went back to the score queue; on a dry run, how many would have.
        failed: How many the score queue did not take; they are still dead letters.
        whole: Whether all that could be had were looked at.
    """

    kinds: Mapping[Kind, int]
    redriven: int = 0
    failed: int = 0
    whole: bool = True


def classify(letters: Sequence[DeadLetter], store: ScoreStore) -> list[Finding]:
    """Say what is wrong with each letter by the boards and standings of now. Raises `Unavailable`."""
    boards = {board.board_id: board for board in store.boards()}
    found = [(letter, *_kind_of(letter.body, boards)) for letter in letters]
    standings = _standings(store, [event for _, event, kind, _ in found if event and kind is Kind.APPLICABLE])
    findings = []
    for letter, event, kind, reason in found:
        if event is not None and kind is Kind.APPLICABLE:
            kind, reason = _bounded(event, boards[event.board_id], standings.get((event.board_id, event.user_id)))
        findings.append(Finding(letter, kind, reason))
    return findings


def _kind_of(body: str, boards: Mapping[str, Board]) -> tuple[ScoreEvent | None, Kind, str]:
    try:
        event = ScoreEvent.from_json(body)
    except InvalidEvent as error:
        return None, Kind.MALFORMED, error.message
    board = boards.get(event.board_id)
    if board is None:
        return event, Kind.UNKNOWN_BOARD, f"There is no board {event.board_id}."
    try:
        board.check_value(event.value)
    except InvalidRequest as error:
        return event, Kind.RULE_BROKEN, error.message
    return event, Kind.APPLICABLE, "It would be applied now."


def _standings(store: ScoreStore, events: Sequence[ScoreEvent]) -> dict[tuple[str, str], Standing]:
    users: dict[str, set[str]] = {}
    for event in events:
        users.setdefault(event.board_id, set()).add(event.user_id)
    return {
        (board_id, standing.user_id): standing
        for board_id, user_ids in users.items()
        for standing in store.standings_of(board_id, sorted(user_ids))
    }


def _bounded(event: ScoreEvent, board: Board, standing: Standing | None) -> tuple[Kind, str]:
    old = Mark(standing.score, standing.reached_at) if standing else None
    score = combine(board, old, event.value, event.accepted_at).score
    if board.min_score <= score <= board.max_score:
        return Kind.APPLICABLE, "It would be applied now."
    return Kind.RULE_BROKEN, f"The score would leave the bounds {board.min_score} to {board.max_score}."


def look(
    queue: DeadLetters,
    store: ScoreStore,
    *,
    most: int = MOST_LOOKED_AT,
    time_left: Callable[[], bool] = lambda: True,
) -> Look:
    """Look at the dead letters and leave them where they are.

    Raises:
        Unavailable: The queue or PostgreSQL does not answer.
    """
    seen = Look()
    held: list[DeadLetter] = []
    try:
        for batch in _batches(queue, most, time_left):
            held.extend(batch)
            seen.findings.extend(classify(batch, store))
    finally:
        queue.put_back(held)
    seen.whole = len(held) < most and time_left()
    return seen


def redrive(
    queue: DeadLetters,
    store: ScoreStore,
    *,
    kinds: Sequence[Kind] = (Kind.APPLICABLE,),
    limit: int = 100,
    dry_run: bool = False,
    time_left: Callable[[], bool] = lambda: True,
) -> RedriveReport:
    """Send dead letters of some kinds back to the score queue, up to a limit; the others stay.

    Each is sent before it is removed. What is applied twice because of a crash in between counts once.

    Raises:
        Unavailable: The queue or PostgreSQL does not answer.
    """
    counted: Counter[Kind] = Counter()
    kept: list[DeadLetter] = []
    report = RedriveReport(counted)
    looked_at = 0
    try:
        for batch in _batches(queue, MOST_LOOKED_AT, time_left):
            looked_at += len(batch)
            kept.extend(batch)
            findings = classify(batch, store)
            counted.update(finding.kind for finding in findings)
            chosen = [finding.letter for finding in findings if finding.kind in kinds][: limit - report.redriven]
            sent = chosen if dry_run else queue.redrive(chosen) if chosen else []
            report.redriven += len(sent)
            report.failed += len(chosen) - len(sent)
            if not dry_run:
                gone = {letter.receipt for letter in sent}
                kept = [letter for letter in kept if letter.receipt not in gone]
            if report.redriven >= limit:
                break
    finally:
        queue.put_back(kept)
    report.kinds = {kind: counted[kind] for kind in Kind}
    report.whole = report.redriven < limit and looked_at < MOST_LOOKED_AT and time_left()
    return report


def _batches(queue: DeadLetters, most: int, time_left: Callable[[], bool]) -> Iterator[Sequence[DeadLetter]]:
    """Take letters until there are no more, so many were taken, or the time is over."""
    seen: set[str] = set()
    while len(seen) < most and time_left():
        batch = queue.take(min(TAKE, most - len(seen)))
        fresh = [letter for letter in batch if letter.message_id not in seen]
        if not fresh:
            return
        seen.update(letter.message_id for letter in fresh)
        yield fresh


def news_of(seen: Look, memory: AlertMemory) -> list[Finding]:
    """Return the findings that nobody was told of yet. Raises `Unavailable` when that cannot be said."""
    unknown = set(memory.unknown([finding.letter.message_id for finding in seen.findings]))
    return [finding for finding in seen.findings if finding.letter.message_id in unknown]


def summary_of(seen: Look, news: Sequence[Finding]) -> str:
    """Return what somebody is told: how many of each kind, and some of the new ones with their reasons."""
    lines = [f"{len(news)} new of {len(seen.findings)}{'' if seen.whole else ' or more'} dead letters."]
    lines += [f"  {kind}: {count}" for kind, count in seen.kinds.items() if count]
    lines.append("For example:")
    lines += [f"  {finding.kind}, {finding.letter.message_id}: {finding.reason}" for finding in news[:EXAMPLES]]
    if seen.kinds[Kind.APPLICABLE]:
        lines.append("Those that are applicable go back to work with: scoreboard redrive")
    return "\n".join(lines)
