"""The plan of a load, and its verdict."""

from __future__ import annotations

from collections import Counter

import pytest

from ops.load import summarise
from ops.load_plan import Ledger, LoadEvent, Observed, Screen, Verdict, judge, make_plan


def test_a_plan_sends_every_event_and_a_share_of_them_twice() -> None:
    plan = make_plan(players=10, events=400, duplicates=0.25, seed=1, run_id="a")

    times = Counter(event.key for event in plan.sends)

    assert len(plan.sends) == 500
    assert set(times) == {event.key for event in plan.events}
    assert Counter(times.values()) == {1: 300, 2: 100}
    assert all(1 <= event.delta <= 1000 for event in plan.events)


def test_a_seed_repeats_the_amounts_but_the_users_are_fresh() -> None:
    one = make_plan(players=5, events=50, duplicates=0.2, seed=7, run_id="a")
    two = make_plan(players=5, events=50, duplicates=0.2, seed=7, run_id="b")

    assert [event.delta for event in one.sends] == [event.delta for event in two.sends]
    assert not set(one.users) & set(two.users)


def test_only_accepted_events_are_expected_and_each_once() -> None:
    events = [LoadEvent("u", 5, "a"), LoadEvent("u", 7, "b"), LoadEvent("v", 1, "c")]
    ledger = Ledger()
    ledger.accept(events[0], "1", replayed=False, now=1.0)
    ledger.accept(events[0], "1", replayed=True, now=2.0)
    ledger.accept(events[2], "3", replayed=False, now=3.0)

    assert ledger.expected(events) == {"u": 5, "v": 1}
    assert ledger.replayed == 1
    assert ledger.contradictions == 0


def test_a_key_that_gets_two_event_ids_is_a_contradiction() -> None:
    event = LoadEvent("u", 5, "a")
    ledger = Ledger()
    ledger.accept(event, "1", replayed=False, now=1.0)
    ledger.accept(event, "2", replayed=False, now=2.0)

    assert ledger.contradictions == 1


@pytest.mark.parametrize(
    ("scores", "lost", "doubled", "mismatched"),
    [
        ({"u": 5, "v": 1}, 0, 0, 0),
        ({"u": 5}, 1, 0, 1),
        ({"u": 10, "v": 1}, 0, 1, 1),
        ({"u": 5, "v": 1, "w": 1}, 0, 1, 1),
    ],
)
def test_the_verdict_counts_what_is_missing_and_what_is_too_much(
    scores: dict[str, int], lost: int, doubled: int, mismatched: int
) -> None:
    verdict = judge({"u": 5, "v": 1}, [Observed("API", scores)], lost=None, ghosts=0, screen_agrees=True, backwards=0)

    assert (verdict.lost, verdict.doubled, verdict.mismatched) == (lost, doubled, mismatched)
    assert verdict.is_exact == (mismatched == 0)


def test_a_place_that_differs_from_the_truth_is_a_mismatch() -> None:
    observed = [Observed("PostgreSQL", {"u": 5}), Observed("Redis", {"u": 4})]

    verdict = judge({"u": 5}, observed, lost=0, ghosts=0, screen_agrees=True, backwards=0)

    assert verdict.mismatched == 1
    assert not verdict.is_exact


def test_a_run_in_which_nothing_was_accepted_is_not_ok() -> None:
    plan = make_plan(players=1, events=1, duplicates=0, seed=1, run_id="a")
    verdict = Verdict(0, 0, 0, 0, ("API",), screen_agrees=True, backwards=0)

    assert summarise(plan, Ledger(), verdict, seed=1, send_s=1.0, agree_s=0.0)["ok"] is False


def snapshot(epoch: str, version: int, **scores: int) -> dict[str, object]:
    entries = [{"user_id": user, "score": score} for user, score in scores.items()]
    return {"epoch": epoch, "version": version, "entries": entries}


def test_a_screen_notices_going_back_within_an_epoch_only() -> None:
    screen = Screen()
    screen.show(snapshot("a", 2, ada=5))
    screen.show(snapshot("a", 3, ada=6))
    screen.show(snapshot("b", 1, ada=4))
    assert screen.backwards == 0

    screen.show(snapshot("b", 0, ada=4))
    screen.show(snapshot("b", 2, ada=3))
    assert screen.backwards == 2
    assert screen.top == [("ada", 3)]
