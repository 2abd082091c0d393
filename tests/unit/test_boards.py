"""The rules of boards: what one event does, and that the order of events does not matter."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.boards import BOARD_ID, GLOBAL, USER_ID, Board, Mark, Operator, SortOrder, combine
from scoreboard.errors import DeltaOutOfRange
from tests.support.model import START_US, board, event, marks, ranking

changes = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=8)


def _after(rules: Board, applied: list[tuple[int, int]]) -> Mark | None:
    mark: Mark | None = None
    for value, accepted_at in applied:
        mark = combine(rules, mark, value, accepted_at)
    return mark


@pytest.mark.parametrize("order", SortOrder)
@pytest.mark.parametrize("operator", Operator)
@given(applied=changes, data=st.data())
def test_what_events_lead_to_does_not_depend_on_their_order(
    operator: Operator, order: SortOrder, applied: list[tuple[int, int]], data: st.DataObject
) -> None:
    rules = board(operator, order)
    assert _after(rules, data.draw(st.permutations(applied))) == _after(rules, applied)


@given(applied=changes)
def test_a_sum_is_the_sum_and_is_reached_with_the_latest_event(applied: list[tuple[int, int]]) -> None:
    total, latest = sum(value for value, _ in applied), max(at for _, at in applied)
    assert _after(board(Operator.INCR), applied) == Mark(total, latest)
    assert _after(board(Operator.DECR), applied) == Mark(-total, latest)


@given(applied=changes)
def test_the_best_score_is_the_largest_or_the_smallest_and_was_reached_first(applied: list[tuple[int, int]]) -> None:
    for order, best in ((SortOrder.DESC, max), (SortOrder.ASC, min)):
        score = best(value for value, _ in applied)
        assert _after(board(Operator.BEST, order), applied) == Mark(
            score, min(at for value, at in applied if value == score)
        )


@given(applied=changes)
def test_a_score_that_is_set_is_the_latest_and_of_one_time_the_larger(applied: list[tuple[int, int]]) -> None:
    latest = max(at for _, at in applied)
    assert _after(board(Operator.SET), applied) == Mark(max(value for value, at in applied if at == latest), latest)


def test_a_duplicate_counts_once_in_the_model_too() -> None:
    first = event("ada", 5)
    assert marks(GLOBAL, [first, first, event("ada", 1)]) == {"ada": Mark(6, START_US)}


@pytest.mark.parametrize("order", SortOrder)
def test_the_first_to_reach_a_score_ranks_first(order: SortOrder) -> None:
    reached = {"late": Mark(5, 3), "early": Mark(5, 1), "better": Mark(6 if order is SortOrder.DESC else 4, 9)}
    assert [entry.user_id for entry in ranking(board(order=order), reached)] == ["better", "early", "late"]


def test_the_default_board_takes_what_the_guide_says() -> None:
    for value in (1, 1000):
        GLOBAL.check_value(value)
    for value in (0, -1, 1001):
        with pytest.raises(DeltaOutOfRange, match=re.escape("delta must be from 1 to 1000 on board global.")):
            GLOBAL.check_value(value)


@pytest.mark.parametrize(
    ("operator", "field"),
    [(Operator.INCR, "delta"), (Operator.DECR, "delta"), (Operator.BEST, "score"), (Operator.SET, "score")],
)
def test_a_value_is_named_by_what_it_is(operator: Operator, field: str) -> None:
    rules = board(operator, max_change=5)
    assert rules.value_field == field
    with pytest.raises(DeltaOutOfRange, match=field):
        rules.check_value(6)


@pytest.mark.parametrize("name", ["a", "_", "A.b:c@d|e-f", "0", "x" * 64])
def test_these_are_user_ids(name: str) -> None:
    assert USER_ID.fullmatch(name)


@pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "\na", "-a", ".a", "x" * 65, "é", "a{b}", "a/b", "a\x00", "٣"])
def test_these_are_not(name: str) -> None:
    assert not USER_ID.fullmatch(name)


@pytest.mark.parametrize("name", ["", "A", "a b", "a\n", "-a", "_a", "x" * 33, "a:b", "a{b", "é"])
def test_these_are_no_board_ids(name: str) -> None:
    assert BOARD_ID.fullmatch("daily-best_2")
    assert not BOARD_ID.fullmatch(name)


def test_the_model_of_the_integration_tests_repeats_itself() -> None:
    from tests.support.model import cut, random_events

    events = random_events(random.Random(1), "global", 30)
    assert events == random_events(random.Random(1), "global", 30)
    delivered = [each for batch in cut(random.Random(2), events) for each in batch]
    assert set(delivered) == set(events)
    assert len(delivered) > len(events)
