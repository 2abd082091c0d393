"""What a load consists of, and what it has to leave on the board. Pure."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LoadEvent:
    """One score that is to count once, however often it is sent."""

    user_id: str
    delta: int
    key: str


@dataclass(frozen=True)
class LoadPlan:
    """All events of a run, and the order in which they and their repetitions are sent."""

    run_id: str
    users: tuple[str, ...]
    events: tuple[LoadEvent, ...]
    sends: tuple[LoadEvent, ...]


def make_plan(*, players: int, events: int, duplicates: float, seed: int, run_id: str) -> LoadPlan:
    """The load of a seed. The users are fresh in each run, so that the board need not be empty."""
    chance = random.Random(seed)
    users = tuple(f"load-{run_id}-{number:04d}" for number in range(1, players + 1))
    made = tuple(
        LoadEvent(chance.choice(users), chance.randint(1, 1000), str(uuid.UUID(int=chance.getrandbits(128), version=4)))
        for _ in range(events)
    )
    sends = [*made, *chance.sample(made, round(events * duplicates))]
    chance.shuffle(sends)
    return LoadPlan(run_id, users, made, tuple(sends))


@dataclass
class Ledger:
    """What the API has answered.

    Attributes:
        accepted: Key -> event id, of every event that was answered with 202.
        replayed: Answers that said they were a repetition's.
        refused: Key -> what the API said, for what it will never accept.
        retries: Reason -> how often a request was sent again because of it.
        contradictions: Events that got two different ids.
        answer_s: How long each answer took.
        first_at, last_at: When the first and the last event was accepted.
    """

    accepted: dict[str, str] = field(default_factory=dict)
    replayed: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)
    contradictions: int = 0
    answer_s: list[float] = field(default_factory=list)
    first_at: float = 0.0
    last_at: float = 0.0

    def accept(self, event: LoadEvent, event_id: str, *, replayed: bool, now: float) -> None:
        """Note a 202."""
        self.replayed += replayed
        known = self.accepted.setdefault(event.key, event_id)
        self.contradictions += known != event_id
        self.first_at = self.first_at or now
        self.last_at = now

    def expected(self, events: Sequence[LoadEvent]) -> dict[str, int]:
        """The score of each user if every accepted event counts once."""
        scores: Counter[str] = Counter()
        for event in events:
            if event.key in self.accepted:
                scores[event.user_id] += event.delta
        return dict(scores)


@dataclass(frozen=True, slots=True)
class Observed:
    """The scores of the run's users in one place; a user without a score is missing."""

    name: str
    scores: Mapping[str, int]

    def differing(self, expected: Mapping[str, int]) -> list[str]:
        """The users whose score is not what it has to be."""
        users = expected.keys() | self.scores.keys()
        return sorted(user for user in users if self.scores.get(user, 0) != expected.get(user, 0))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether exactly what was accepted is on the board.

    Attributes:
        lost: Accepted events without their effect; without a view of PostgreSQL, users with too low a score.
        doubled: Users with too high a score.
        ghosts: Events of the run's users that had an effect without having been accepted.
        mismatched: Users that differ in any place from what they have to have.
        places: The places that were compared.
        screen_agrees: Whether the last frame of a stream shows the top of PostgreSQL's board.
        backwards: How often that stream went back within an epoch.
    """

    lost: int
    doubled: int
    ghosts: int
    mismatched: int
    places: tuple[str, ...]
    screen_agrees: bool
    backwards: int

    @property
    def is_exact(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.screen_agrees and not any((self.lost, self.doubled, self.ghosts, self.mismatched, self.backwards))


def judge(
    expected: Mapping[str, int],
    observed: Sequence[Observed],
    *,
    lost: int | None,
    ghosts: int,
    screen_agrees: bool,
    backwards: int,
) -> Verdict:
    """Compare; the first place is the truth. `lost` is None where events cannot be counted."""
    truth = observed[0].scores
    below = sum(truth.get(user, 0) < score for user, score in expected.items())
    above = sum(score > expected.get(user, 0) for user, score in truth.items())
    differing = {user for place in observed for user in place.differing(expected)}
    return Verdict(
        lost=below if lost is None else lost,
        doubled=above,
        ghosts=ghosts,
        mismatched=len(differing),
        places=tuple(place.name for place in observed),
        screen_agrees=screen_agrees,
        backwards=backwards,
    )


class Screen:
    """What one watching client has seen of a board."""

    def __init__(self) -> None:
        self.top: list[tuple[str, int]] = []
        self.backwards = 0
        self.frames = 0
        self._epoch: str | None = None
        self._version = 0
        self._scores: dict[str, int] = {}

    def show(self, snapshot: Mapping[str, object]) -> None:
        """Take a frame; count it if it is older, or has a lower score, than one before of its epoch."""
        entries: list[dict[str, object]] = snapshot["entries"]  # type: ignore[assignment]
        self.top = [(str(entry["user_id"]), int(str(entry["score"]))) for entry in entries]
        epoch, version = str(snapshot["epoch"]), int(str(snapshot["version"]))
        if epoch != self._epoch:
            self._epoch, self._version, self._scores = epoch, version, {}
        falls = any(score < self._scores.get(user, score) for user, score in self.top)
        self.backwards += version < self._version or falls
        self._version = version
        self._scores.update(self.top)
        self.frames += 1
