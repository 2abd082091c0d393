"""What goes wrong in operation: the service is gone, the index is empty, the queue holds what cannot be applied."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from scoreboard.boards import Board
from scoreboard.connections_postgres import open_pool
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.rehearsal.report import Report, expect, until
from tests.rehearsal.scoring import APPLIED_WITHIN_S
from tests.rehearsal.world import World

NEW_BOARD = "rehearsal"
SCHEDULED = {
    "id": "rehearsal",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "000000000000",
    "time": "2026-01-01T00:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}
"""What EventBridge sends for a schedule."""


def lose_the_service(world: World, report: Report) -> None:
    """No task runs any more: Route 53 would send viewers to the submission edge now."""
    with report.step("All tasks are gone: the submission edge still accepts scores, and says so on its page"):
        accepted = world.submit(world.token("dan"), 7)
        expect(accepted.status == 202, f"the submission edge answers {accepted}")
        until(lambda: world.score("dan") == 7, seconds=APPLIED_WITHIN_S, otherwise="the score does not count")
        page = world.edge("GET", "/", headers={"Accept": "text/html"})
        expect(page.status == 503 and "text/html" in page.headers["content-type"], f"the page is {page}")
        board = world.edge("GET", "/api/leaderboard")
        expect(board.status == 503, f"what the edge does not have is answered with {board}")


def repair_the_index(world: World, report: Report) -> None:
    """No sweeper of an API is there to help: the schedule alone repairs."""
    title = "FLUSHALL on Valkey: the scheduled reconcile makes it equal to PostgreSQL again"
    with report.step(title) as step, world.stores.redis() as admin:
        admin.flushall()
        began = time.monotonic()
        with _sooner(world, "Reconcile"):
            until(lambda: world.boards_in_index() == _truth(world), seconds=150, otherwise="the index is not repaired")
        step.note(f"by its own rule, {time.monotonic() - began:.0f} s after the loss (rate lowered to 1 minute)")


@contextlib.contextmanager
def _sooner(world: World, function: str) -> Iterator[None]:
    """Lower the rate of a function's deployed schedule, for it is five minutes, and put it back."""
    events = world.cloud.client("events")
    arn = world.cloud.client("lambda").get_function(FunctionName=world.operation(function))["Configuration"]
    names = events.list_rule_names_by_target(TargetArn=arn["FunctionArn"])["RuleNames"]
    expect(len(names) == 1, f"{function} has the rules {names}")
    rule = events.describe_rule(Name=names[0])
    kept = {key: rule[key] for key in ("Name", "State", "Description") if key in rule}
    events.put_rule(**kept, ScheduleExpression="rate(1 minute)")
    try:
        yield
    finally:
        events.put_rule(**kept, ScheduleExpression=rule["ScheduleExpression"])


def _truth(world: World) -> dict[str, dict[str, int]]:
    boards: dict[str, dict[str, int]] = {}
    with world.stores.sql() as connection:
        for board, user, score in connection.execute("SELECT board_id, user_id, score FROM standings"):
            boards.setdefault(board, {})[user] = score
    return boards


def poison_the_queue(world: World, report: Report) -> None:
    """Messages that cannot be applied do no harm, are reported, and count after a fix."""
    with _subscriber(world) as messages:
        with report.step("Poison: what cannot be applied becomes a dead letter, what came with it counts") as step:
            _poison(world)
            step.note("the queue's visibility timeout of 180 s was 1 s for this step; its maxReceiveCount stayed")
        with report.step("dlq_triage tells the alerts topic what is in there, once, and leaves it there"):
            _triage(world, messages)
    with report.step("After a fix (the board is made) redrive sends the one back, it counts once; the other stays"):
        _make_board(world)
        _redrive(world)


def _poison(world: World) -> None:
    sqs, url = world.cloud.client("sqs"), world.queue("ScoreQueue")
    unknown, good = world.event(board=NEW_BOARD, user="fay", value=5), world.event(user="fay", value=9)
    with _impatient(world):
        for body in ("{not json", unknown, good):
            sqs.send_message(QueueUrl=url, MessageBody=body)
        until(lambda: world.score("fay") == 9, seconds=APPLIED_WITHIN_S, otherwise="the good message is held up")
        until(lambda: world.depth("DeadLetterQueue") == 2, seconds=90, otherwise="not two dead letters")


def _triage(world: World, messages: Callable[[], list[str]]) -> None:
    told: list[str] = []

    def both() -> bool:
        # Perhaps its schedule came first, and found one of the two.
        told.extend(messages())
        return "malformed" in "".join(told) and "unknown_board" in "".join(told)

    world.cloud.invoke(world.operation("DlqTriage"), SCHEDULED)
    until(both, seconds=15, otherwise=lambda: f"the alerts topic got {told}")
    world.cloud.invoke(world.operation("DlqTriage"), SCHEDULED)
    time.sleep(1)
    expect(not messages(), "the same dead letters are reported twice")
    expect(world.depth("DeadLetterQueue") == 2, "triage took dead letters away")


def _redrive(world: World) -> None:
    name, order = world.operation("Redrive"), {"kinds": ["applicable"], "limit": 10}
    done = world.cloud.invoke(name, order)
    expect(done["redriven"] == 1, f"redrive says {done}")
    until(lambda: world.score("fay", NEW_BOARD) == 5, seconds=APPLIED_WITHIN_S, otherwise="the score does not count")
    until(lambda: world.depth("ScoreQueue") == 0, seconds=APPLIED_WITHIN_S, otherwise="the queue is not empty")
    again = world.cloud.invoke(name, order)
    expect(again["redriven"] == 0, f"redrive again says {again}")
    expect(world.depth("DeadLetterQueue") == 1, "the malformed one did not stay")
    expect(world.score("fay", NEW_BOARD) == 5, f"fay has {world.score('fay', NEW_BOARD)}")


def fail_for_good(world: World, report: Report) -> None:
    """A call that nobody waits for, and that its function cannot do, is not lost."""
    with report.step("A function that fails at an event for good leaves it among the operations dead letters") as step:
        payload = {"kinds": "not a list"}
        functions = world.cloud.client("lambda")
        name = world.operation("Redrive")
        functions.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(payload).encode())
        sqs, url = world.cloud.client("sqs"), world.queue("OperationsDeadLetterQueue")

        def left() -> list[dict[str, Any]]:
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
            return list(found.get("Messages", []))

        (message,) = until(left, seconds=30, otherwise="the queue of operations' dead letters stays empty")
        expect("not a list" in message["Body"], f"the dead letter is {message['Body'][:300]}")
        step.note("after its retries, whose pauses are seconds here")


def forget_old_events(world: World, report: Report) -> None:
    """Retention deletes by age, and nothing else."""
    with report.step("retention deletes the events that are older than EVENT_RETENTION_DAYS, and no others") as step:
        with world.stores.sql() as connection:
            before = _count_events(connection)
            connection.execute(
                "INSERT INTO score_events (event_id, board_id, user_id, value, accepted_at, submitted_by, applied_at) "
                "SELECT gen_random_uuid(), 'global', 'old', 1, 0, 'old', now() - interval '401 days' "
                "FROM generate_series(1, 1000)"
            )
            done = world.cloud.invoke(world.operation("Retention"), SCHEDULED)
            expect(done["events"] == 1000 and done["done"], f"retention says {done}")
            expect(_count_events(connection) == before, "more or fewer were deleted")
        step.note(f"1000 of {before + 1000}")


def _count_events(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM score_events").fetchone()
    return int(row[0]) if row else 0


def _make_board(world: World) -> None:
    login = json.loads(world.cloud.secret(world.cloud.outputs_of("Data")["DatabaseOwnerSecretArn"]))
    url = f"postgresql://{login['username']}:{login['password']}@{login['host']}:{login['port']}/{login['dbname']}"
    with open_pool(url) as pool:
        PostgresScoreStore(pool).create_board(Board(board_id=NEW_BOARD))


@contextlib.contextmanager
def _impatient(world: World) -> Iterator[None]:
    """Let the score queue hand out again after a second what was not deleted."""
    sqs, url = world.cloud.client("sqs"), world.queue("ScoreQueue")
    kept = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=kept)


@contextlib.contextmanager
def _subscriber(world: World) -> Iterator[Callable[[], list[str]]]:
    """Subscribe to the alerts topic; gives what reads the messages that have come."""
    sqs, sns = world.cloud.client("sqs"), world.cloud.client("sns")
    topic = world.cloud.outputs_of("Messaging")["AlertsTopicArn"]
    url = sqs.create_queue(QueueName="rehearsal-alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)

    def messages() -> list[str]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["Message"] for message in found]

    try:
        yield messages
    finally:
        sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        sqs.delete_queue(QueueUrl=url)
