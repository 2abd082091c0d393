"""Dead letters on a real PostgreSQL and the SQS emulator: looked at, reported once, and sent back when they can."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
import redis
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from ops import cli
from scoreboard.alert_memory_redis import RedisAlertMemory
from scoreboard.config import Settings
from scoreboard.dead_letters import Kind, classify, look, news_of, redrive, summary_of
from scoreboard.dead_letters_sqs import SqsDeadLetters
from scoreboard.errors import InvalidField, QueueUnavailable
from scoreboard.event_queue_sqs import sqs_client
from scoreboard.ports import DeadLetter
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support import parts
from tests.support.model import board, event
from tests.support.operations import invoked, operations_on, scheduled


class Queues:
    """A queue of dead letters and the score queue."""

    def __init__(self, dead: str, scores: str) -> None:
        self.dead = dead
        self.scores = scores
        self.client = boto3.client("sqs")

    def die(self, *bodies: str) -> None:
        """Put messages among the dead letters."""
        for body in bodies:
            self.client.send_message(QueueUrl=self.dead, MessageBody=body)

    def bodies(self, url: str) -> list[str]:
        """What can be had of a queue, which is put back."""
        found: list[dict[str, Any]] = []
        while got := self.client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get(
            "Messages"
        ):
            found += got  # type: ignore[arg-type]
        for message in found:
            self.client.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return sorted(message["Body"] for message in found)


@pytest.fixture
def queues(queue_url: str, sqs: parts.QueueServer) -> Queues:
    return Queues(sqs.create(), queue_url)


@pytest.fixture
def letters(queues: Queues) -> SqsDeadLetters:
    return SqsDeadLetters(queues.dead, queues.scores, partial(sqs_client, read_timeout_s=5))


def _letter(body: str) -> DeadLetter:
    return DeadLetter(str(uuid.uuid4()), "receipt", body, 0)


def _kinds(**counts: int) -> dict[Kind, int]:
    return {kind: counts.get(kind.value, 0) for kind in Kind}


# What is wrong


def test_letters_are_judged_by_the_rules_of_now(store: PostgresScoreStore) -> None:
    rules = board(min_score=0, max_score=10)
    store.create_board(rules)
    store.apply([event("ada", 8, board_id=rules.board_id)])
    judged = {
        "not JSON": Kind.MALFORMED,
        "": Kind.MALFORMED,
        json.dumps({"v": 2}): Kind.MALFORMED,
        event("ada", 1, board_id="nowhere").to_json(): Kind.UNKNOWN_BOARD,
        event("ada", 1001, board_id=rules.board_id).to_json(): Kind.RULE_BROKEN,
        event("ada", 3, board_id=rules.board_id).to_json(): Kind.RULE_BROKEN,
        event("bob", -1, board_id=rules.board_id).to_json(): Kind.RULE_BROKEN,
        event("ada", 2, board_id=rules.board_id).to_json(): Kind.APPLICABLE,
        event("bob", 10, board_id=rules.board_id).to_json(): Kind.APPLICABLE,
        event("ada", 5).to_json(): Kind.APPLICABLE,
    }
    findings = classify([_letter(body) for body in judged], store)
    assert [finding.kind for finding in findings] == list(judged.values())
    assert all(finding.reason for finding in findings)


def test_a_look_leaves_everything_where_it_is(
    queues: Queues, letters: SqsDeadLetters, store: PostgresScoreStore
) -> None:
    bodies = sorted(["rubbish", *(event(f"user-{at}", 1).to_json() for at in range(24))])
    queues.die(*bodies)
    for _ in range(2):
        seen = look(letters, store)
        assert (seen.kinds, seen.whole) == (_kinds(malformed=1, applicable=24), True)
    assert queues.bodies(queues.dead) == bodies
    assert queues.bodies(queues.scores) == []


def test_a_look_is_bounded_by_number_and_by_time(
    queues: Queues, letters: SqsDeadLetters, store: PostgresScoreStore
) -> None:
    queues.die(*(event(f"user-{at}", 1).to_json() for at in range(15)))
    seen = look(letters, store, most=12)
    assert (len(seen.findings), seen.whole) == (12, False)
    seen = look(letters, store, time_left=lambda: False)
    assert (len(seen.findings), seen.whole) == (0, False)
    assert len(queues.bodies(queues.dead)) == 15


# Sending back


def test_what_can_be_applied_goes_back_and_the_rest_stays(
    queues: Queues, letters: SqsDeadLetters, store: PostgresScoreStore
) -> None:
    good = sorted(event(f"user-{at}", 1).to_json() for at in range(12))
    bad = sorted(["rubbish", event("ada", 5000).to_json(), event("ada", 1, board_id="nowhere").to_json()])
    queues.die(*good, *bad)
    report = redrive(letters, store)
    assert report.kinds == _kinds(malformed=1, rule_broken=1, unknown_board=1, applicable=12)
    assert (report.redriven, report.failed, report.whole) == (12, 0, True)
    assert queues.bodies(queues.scores) == good
    assert queues.bodies(queues.dead) == bad
    assert redrive(letters, store).redriven == 0


def test_kinds_and_limit_choose_and_a_dry_run_changes_nothing(
    queues: Queues, letters: SqsDeadLetters, store: PostgresScoreStore
) -> None:
    bodies = sorted(["rubbish", *(event(f"user-{at}", 1).to_json() for at in range(12))])
    queues.die(*bodies)
    report = redrive(letters, store, limit=5, dry_run=True)
    assert (report.redriven, report.whole) == (5, False)
    assert queues.bodies(queues.dead) == bodies
    assert redrive(letters, store, kinds=[Kind.MALFORMED]).redriven == 1
    assert queues.bodies(queues.scores) == ["rubbish"]
    assert redrive(letters, store, limit=5).redriven == 5
    assert len(queues.bodies(queues.dead)) == 7


def test_a_board_that_was_created_since_makes_its_events_applicable(
    queues: Queues, letters: SqsDeadLetters, store: PostgresScoreStore
) -> None:
    rules = board()
    queues.die(event("ada", 1, board_id=rules.board_id).to_json())
    assert redrive(letters, store).redriven == 0
    store.create_board(rules)
    assert redrive(letters, store).redriven == 1


def test_a_crash_between_sending_and_removing_leaves_the_message_in_both(
    queues: Queues, store: PostgresScoreStore
) -> None:
    class Dying(SqsDeadLetters):
        def _remove(self, letters: Any) -> None:
            raise KeyboardInterrupt

    body = event("ada", 1).to_json()
    queues.die(body)
    with pytest.raises(KeyboardInterrupt):
        redrive(Dying(queues.dead, queues.scores, sqs_client), store)
    assert queues.bodies(queues.scores) == queues.bodies(queues.dead) == [body]


def test_a_score_queue_that_is_away_loses_nothing(queues: Queues, store: PostgresScoreStore) -> None:
    body = event("ada", 1).to_json()
    queues.die(body)
    gone = SqsDeadLetters(queues.dead, queues.scores + "-gone", sqs_client)
    with pytest.raises(QueueUnavailable):
        redrive(gone, store)
    assert queues.bodies(queues.dead) == [body]


def test_a_queue_that_hangs_is_asked_once_to_take_letters_back() -> None:
    class Hung:
        asked = 0

        def change_message_visibility_batch(self, **_: Any) -> None:
            self.asked += 1
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    hung = Hung()
    SqsDeadLetters("dead", "scores", lambda: hung).put_back([_letter("") for _ in range(1000)])  # type: ignore[arg-type, return-value]
    assert hung.asked == 1


# Telling


@pytest.fixture
def memory(redis_sync: Any, redis_settings: Settings) -> RedisAlertMemory:
    return RedisAlertMemory(redis_sync, redis_settings.redis_key_leaderboard)


def test_somebody_is_told_of_each_letter_once(
    queues: Queues, letters: SqsDeadLetters, store: PostgresScoreStore, memory: RedisAlertMemory
) -> None:
    queues.die("first", event("ada", 1).to_json())
    seen = look(letters, store)
    assert len(news_of(seen, memory)) == 2
    memory.remember([finding.letter.message_id for finding in seen.findings])
    assert news_of(look(letters, store), memory) == []
    queues.die("third")
    seen = look(letters, store)
    news = news_of(seen, memory)
    assert [finding.letter.body for finding in news] == ["third"]
    text = summary_of(seen, news)
    assert "1 new of 3 dead letters." in text
    assert "malformed: 2" in text
    assert "scoreboard redrive" in text
    assert news_of(look(letters, store, most=0), memory) == []


def test_what_somebody_was_told_of_is_forgotten_letter_by_letter(
    memory: RedisAlertMemory, redis_sync: redis.Redis, redis_settings: Settings
) -> None:
    memory.remember(["old"])
    (key,) = redis_sync.keys(f"{redis_settings.redis_key_leaderboard}:*")
    redis_sync.pexpire(key, 60_000)
    memory.remember(["new"])
    assert redis_sync.pttl(key) <= 60_000
    redis_sync.delete(key)
    assert memory.unknown(["old", "new"]) == ["old"]
    assert memory.unknown([]) == []


@pytest.fixture
def operations(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_settings: Settings, queues: Queues
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The functions on real parts and a topic; gives what was published."""
    published: list[dict[str, Any]] = []
    monkeypatch.setattr("chalicelib.runtime.alert", lambda subject, text: published.append({subject: text}))
    with operations_on(
        monkeypatch,
        redis_settings,
        DATABASE_URL=postgres_url,
        SQS_QUEUE_URL=queues.scores,
        SQS_DEAD_LETTER_QUEUE_URL=queues.dead,
    ):
        yield lambda: published


def test_the_triage_reports_what_is_new_once_and_measures_every_time(
    operations: Callable[[], list[dict[str, Any]]], queues: Queues, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scheduled("dlq_triage", 90) == {"kinds": {str(kind): 0 for kind in Kind}, "whole": True, "told": 0}
    queues.die("rubbish")
    assert [scheduled("dlq_triage", 90)["told"] for _ in range(3)] == [1, 0, 0]
    assert [list(each) for each in operations()] == [["Scoreboard: 1 new dead letters"]]
    measured = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    malformed = [line["dead_letters"] for line in measured if line["kind"] == "malformed"]
    assert malformed == [[0], [1], [1], [1]]
    assert queues.bodies(queues.dead) == ["rubbish"]


def test_nobody_is_told_while_it_cannot_be_remembered(
    operations: Callable[[], list[dict[str, Any]]],
    queues: Queues,
    monkeypatch: pytest.MonkeyPatch,
    postgres_url: str,
) -> None:
    queues.die("rubbish")
    away = parts.settings(REDIS_HOST="127.0.0.1", REDIS_PORT="9")
    with operations_on(monkeypatch, away, DATABASE_URL=postgres_url, SQS_DEAD_LETTER_QUEUE_URL=queues.dead):
        assert scheduled("dlq_triage", 90)["told"] == 0
    assert operations() == []


def test_the_alert_goes_to_the_topic(monkeypatch: pytest.MonkeyPatch, redis_settings: Settings) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS", raising=False)
    with mock_aws():
        arn = boto3.client("sns").create_topic(Name="alerts")["TopicArn"]
        box = boto3.client("sqs")
        url = box.create_queue(QueueName="box")["QueueUrl"]
        boto3.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:box")
        with operations_on(monkeypatch, redis_settings, ALERTS_TOPIC_ARN=arn):
            from chalicelib import runtime

            runtime.alert("a subject", "a text")
        (message,) = box.receive_message(QueueUrl=url)["Messages"]
        told = json.loads(message["Body"])
    assert (told["Subject"], told["Message"]) == ("a subject", "a text")


def test_the_function_redrives_as_it_is_told(operations: object, queues: Queues, store: PostgresScoreStore) -> None:
    queues.die("rubbish", event("ada", 1).to_json(), event("bob", 1).to_json())
    assert invoked("redrive", {"dry_run": True, "limit": 1}, 120)["redriven"] == 1
    assert len(queues.bodies(queues.dead)) == 3
    answer = invoked("redrive", {}, 120)
    assert answer == {
        "kinds": {"malformed": 1, "unknown_board": 0, "rule_broken": 0, "applicable": 2},
        "redriven": 2,
        "failed": 0,
        "whole": True,
    }
    assert invoked("redrive", {"kinds": ["malformed"], "limit": 5}, 120)["redriven"] == 1


@pytest.mark.parametrize(
    "payload",
    [{"kinds": ["all"]}, {"kinds": []}, {"kinds": "malformed"}, {"limit": 0}, {"limit": "5"}, {"limit": True}],
)
def test_the_function_refuses_what_it_does_not_understand(operations: object, payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match=r"kinds|limit"):
        invoked("redrive", payload)


# The verb


def test_the_verb_knows_every_kind() -> None:
    assert tuple(Kind) == cli.KINDS


def _verb(*options: str) -> int:
    given: argparse.Namespace = cli._parser().parse_args(["redrive", *options])
    return int(given.verb(given))


def test_the_verb_says_what_it_did(operations: object, queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    queues.die("rubbish", event("ada", 1).to_json())
    assert _verb("--dry-run") == 0
    assert capsys.readouterr().out == "dead letters: 1 malformed, 1 applicable\nwould go back: 1\n"
    assert _verb("--json", "--kind", "malformed", "--kind", "applicable", "--limit", "1") == 0
    assert json.loads(capsys.readouterr().out)["redriven"] == 1
    assert _verb("--kind", "malformed", "--kind", "applicable") == 0
    assert "sent back: 1\n" in capsys.readouterr().out
    assert queues.bodies(queues.dead) == []
    assert len(queues.bodies(queues.scores)) == 2


def test_a_queue_that_cannot_be_reached_is_said_so(store: PostgresScoreStore) -> None:
    class Away:
        def receive_message(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    away: Any = Away()
    with pytest.raises(QueueUnavailable, match="does not answer"):
        look(SqsDeadLetters("dead", "scores", lambda: away), store)
