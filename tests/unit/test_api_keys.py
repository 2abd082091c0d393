"""The keyring of a running API: another one is taken without a restart, and requests never wait for it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from api.keys import LiveKeyring
from scoreboard.auth import Keyring, issue_token
from tests.support.api_fakes import FakeApi, api_settings, until

OLD, NEW = "o" * 32, "n" * 32


def ring(current: str, previous: str = "", upcoming: str = "") -> Keyring:
    return Keyring.of(current, previous, upcoming, issuer="scoreboard", audience="scoreboard-api")


async def test_another_keyring_is_taken_and_one_that_cannot_be_read_is_not(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Keyring | Exception] = [ring(OLD), RuntimeError("away"), ring(NEW, OLD)]

    def read() -> Keyring:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = LiveKeyring(read, interval_s=0.01)
    assert keys.current == ring(OLD)
    task = asyncio.create_task(keys.run())
    await until(lambda: keys.current == ring(NEW, OLD))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [record.levelname for record in caplog.records if record.name == "api.keys"] == ["ERROR"]


async def test_requests_are_checked_with_the_keyring_there_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    keyrings = [ring(OLD, "", NEW)]
    settings = api_settings(
        JWT_SECRET_ARN="arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt", SECRETS_REFRESH_INTERVAL="10"
    )
    app = FakeApi(settings).build(read_keyring=lambda: keyrings[-1])
    old, new, foreign = (issue_token(ring(key), user_id="ada", ttl_s=600) for key in (OLD, NEW, "f" * 32))
    async with app.test_app() as running:
        client = running.test_client()

        async def status(token: str) -> int:
            answer = await client.post(
                "/api/scores",
                data='{"delta":5}',
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            return answer.status_code

        assert [await status(token) for token in (old, new, foreign)] == [202, 202, 401]
        keyrings.append(ring(NEW, OLD, "x" * 32))  # a rotation
        keys = app.extensions["scoreboard"].keys
        await until(lambda: keys.current == keyrings[-1])
        assert [await status(token) for token in (old, new, foreign)] == [202, 202, 401]
        keyrings.append(ring("x" * 32, NEW, "y" * 32))  # the next one
        await until(lambda: keys.current == keyrings[-1])
        assert [await status(token) for token in (old, new, foreign)] == [401, 202, 401]
