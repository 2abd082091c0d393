"""Retention on a real PostgreSQL: what is old goes in steps, what is younger stays."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from scoreboard import retention
from scoreboard.config import Settings
from scoreboard.connections_postgres import open_pool
from scoreboard.errors import Unavailable
from scoreboard.history_postgres import PostgresHistory
from scoreboard.retention import RetentionReport, forget_old
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support.model import event
from tests.support.operations import operations_on, scheduled

AGES = (0, 29, 399, 400, 401, 900)


@pytest.fixture
def history(postgres_url: str) -> Iterator[PostgresHistory]:
    with open_pool(postgres_url) as pool:
        yield PostgresHistory(pool)


@pytest.fixture
def aged(store: PostgresScoreStore, postgres_url: str) -> None:
    """Events and rejections of each age in days, ten each."""
    for table, column in (("score_events", "applied_at"), ("score_rejections", "rejected_at")):
        events = [event(f"{table}-{age}", 1) for age in AGES for _ in range(10)]
        if table == "score_events":
            store.apply(events)
        else:
            store.reject(dict.fromkeys(events, "because"))
        with psycopg.connect(postgres_url) as connection:
            for age in AGES:
                connection.execute(
                    f"UPDATE {table} SET {column} = now() - make_interval(days => %s, secs => 5) "  # noqa: S608
                    "WHERE user_id = %s".encode(),
                    [age, f"{table}-{age}"],
                )


def _ages(url: str, table: str) -> dict[int, int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(f"SELECT user_id, count(*) FROM {table} GROUP BY user_id".encode()).fetchall()  # noqa: S608
    return {int(user_id.rpartition("-")[2]): count for user_id, count in rows}


def test_what_is_older_goes_and_what_is_younger_stays(aged: None, history: PostgresHistory, postgres_url: str) -> None:
    assert forget_old(history, older_than_days=400, time_left=lambda: True) == RetentionReport(30, 30, True)
    for table in ("score_events", "score_rejections"):
        assert _ages(postgres_url, table) == {0: 10, 29: 10, 399: 10}
    assert forget_old(history, older_than_days=400, time_left=lambda: True) == RetentionReport(0, 0, True)


def test_it_goes_in_steps_and_goes_on_where_its_time_was_over(
    aged: None, history: PostgresHistory, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 7)
    steps = iter([True, True])
    report = forget_old(history, older_than_days=400, time_left=lambda: next(steps, False))
    assert report == RetentionReport(14, 0, False)
    assert sum(_ages(postgres_url, "score_events").values()) == 46
    assert forget_old(history, older_than_days=400, time_left=lambda: True) == RetentionReport(16, 30, True)
    assert _ages(postgres_url, "score_events") == {0: 10, 29: 10, 399: 10}


def test_standings_stay_whatever_is_forgotten(aged: None, history: PostgresHistory, store: PostgresScoreStore) -> None:
    before = store.count("global")
    forget_old(history, older_than_days=30, time_left=lambda: True)
    assert store.count("global") == before == len(AGES)


def test_a_database_that_is_away_is_an_error_and_no_report() -> None:
    with open_pool("postgresql://scoreboard@127.0.0.1:9/nowhere") as pool, pytest.raises(Unavailable):
        forget_old(PostgresHistory(pool, timeout_s=0.5), older_than_days=400, time_left=lambda: True)


def test_the_function_keeps_what_the_setting_says_and_measures(
    aged: None,
    postgres_url: str,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=postgres_url, EVENT_RETENTION_DAYS="30"):
        assert scheduled("retention", seconds=1) == {"events": 0, "rejections": 0, "done": False}
        assert scheduled("retention") == {"events": 40, "rejections": 40, "done": True}
    assert '"events_forgotten":[40.0]' in capsys.readouterr().out.replace(" ", "")
    assert _ages(postgres_url, "score_events") == {0: 10, 29: 10}
