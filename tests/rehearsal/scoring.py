"""The way of a score, and of what is no score."""

from __future__ import annotations

import time

from tests.rehearsal.report import Report, expect, until
from tests.rehearsal.tasks import Tasks
from tests.rehearsal.world import World

APPLIED_WITHIN_S = 30.0
LIMIT = 10
"""The default of RATE_LIMIT_MAX_REQUESTS, which no template changes."""


def score_once(tasks: Tasks, report: Report) -> None:
    """One score all the way to a screen, and once more without effect."""
    world = tasks.world
    with tasks.screen() as screen:
        title = "A score: API Gateway → function → SQS → worker → PostgreSQL and Valkey → API → load balancer → stream"
        with report.step(title) as step:
            until(lambda: screen.frames, seconds=20, otherwise="the stream shows no board")
            token, began = world.token("ada"), time.monotonic()
            first = world.submit(token, 42, key="once")
            expect(first.status == 202, f"the submission edge answers {first}")
            until(
                lambda: screen.scores().get("ada") == 42,
                seconds=APPLIED_WITHIN_S,
                otherwise=lambda: f"no frame shows 42. {_where_it_is(world)}",
            )
            step.note(f"on the screen {time.monotonic() - began:.1f} s after the request, with two cold starts")
            began = time.monotonic()
            expect(world.submit(token, 8).status == 202, "the second score is not accepted")
            until(lambda: screen.scores().get("ada") == 50, seconds=APPLIED_WITHIN_S, otherwise="no frame shows 50")
            step.note(f"the next one after {time.monotonic() - began:.1f} s")
            expect(world.score("ada") == 50, f"PostgreSQL has {world.score('ada')}")
            state = world.edge(
                "GET", f"/api/scores/{first.json['event_id']}", None, {"Authorization": f"Bearer {token}"}
            )
            expect(state.status == 200 and state.json["status"] == "applied", f"the edge says of it {state}")
            expect(not screen.wrongs, "; ".join(screen.wrongs))
        with report.step("The same Idempotency-Key again has no effect; with another score it is refused"):
            again = world.submit(token, 42, key="once")
            expect(again.status == 202 and again.json["event_id"] == first.json["event_id"], f"replayed: {again}")
            expect(again.headers.get("idempotent-replayed") == "true", "the replay is not said to be one")
            other = world.submit(token, 43, key="once")
            expect(other.status == 409, f"the key with another score gets {other}")
            # A score behind it, so that both would have had their effect by now.
            expect(world.submit(token, 1).status == 202, "the third score is not accepted")
            until(lambda: screen.scores().get("ada") == 51, seconds=APPLIED_WITHIN_S, otherwise="no frame shows 51")
            expect(world.score("ada") == 51, f"PostgreSQL has {world.score('ada')}")
        with report.step("A duplicate delivery by SQS has no effect"):
            _deliver_twice(world)
            until(lambda: screen.scores().get("ada") == 52, seconds=APPLIED_WITHIN_S, otherwise="no frame shows 52")
            until(lambda: world.depth("ScoreQueue") == 0, seconds=APPLIED_WITHIN_S, otherwise="the queue is not empty")
            expect(world.score("ada") == 52, f"PostgreSQL has {world.score('ada')}")


def _where_it_is(world: World) -> str:
    worker = world.cloud.outputs_of("Workers")["WorkerFunctionName"]
    said = world.cloud.logged(worker)[-1500:] or "nothing; see the emulator's log"
    return (
        f"PostgreSQL has {world.score('ada')}, the queue {world.depth('ScoreQueue')} messages, the worker says: {said}"
    )


def _deliver_twice(world: World) -> None:
    with world.stores.sql() as connection:
        row = connection.execute(
            "SELECT event_id, board_id, user_id, value, accepted_at, submitted_by FROM score_events "
            "WHERE user_id = 'ada' ORDER BY accepted_at LIMIT 1"
        ).fetchone()
    assert row is not None
    body = world.event(board=row[1], user=row[2], value=row[3], event_id=str(row[0]), accepted_at=row[4])
    sqs, url = world.cloud.client("sqs"), world.queue("ScoreQueue")
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    sqs.send_message(QueueUrl=url, MessageBody=world.event(user="ada", value=1))


def refuse(world: World, report: Report) -> None:
    """What the edge must not accept."""
    with report.step("Refused at the edge: a forged token 401, a score out of range 422, one too many 429"):
        forged = world.submit(world.token("eve", key="k" * 64), 1)
        expect(forged.status == 401, f"a forged token gets {forged}")
        missing = world.edge("POST", "/api/scores", {"delta": 1}, {"Content-Type": "application/json"})
        expect(missing.status == 401, f"no token gets {missing}")
        token = world.token("bob")
        large = world.submit(token, 1001)
        expect(large.status == 422, f"1001 of at most 1000 gets {large}")
        answers = [world.submit(token, 1) for _ in range(LIMIT + 1)]
        expect([each.status for each in answers[:-1]] == [202] * LIMIT, f"within the limit: {answers}")
        expect(answers[-1].status == 429 and int(answers[-1].headers["retry-after"]) > 0, f"over it: {answers[-1]}")
        until(lambda: world.score("bob") == LIMIT, seconds=APPLIED_WITHIN_S, otherwise="what was accepted is not there")
