"""`scoreboard submit`: one score."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from ops.client import Api, describe
from ops.terminal import Exit, OpsError, say

_WAIT_S = 15.0


def run(given: argparse.Namespace) -> Exit:
    """Submit, and with `--wait` show what the user has once the score counts."""
    return asyncio.run(_submit(given))


async def _submit(given: argparse.Namespace) -> Exit:
    api = Api.find(given.url)
    connection = api.connect()
    token = api.token(given.user)
    field, value = ("delta", given.delta) if given.score is None else ("score", given.score)
    try:
        answer = await api.submit(connection, token=token, value=value, field=field, board=given.board, key=given.key)
        if answer.status != 202:
            raise OpsError(f"Refused: {describe(answer)}")
        event_id = answer.json()["event_id"]
        if not given.wait:
            say(json.dumps(answer.json()))
            return Exit.OK
        deadline = time.monotonic() + _WAIT_S
        path = f"{api.base_path}/scores/{event_id}"
        while time.monotonic() < deadline:
            state = (await connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})).json()
            if state.get("status") == "rejected":
                raise OpsError(f"Rejected: {state.get('reason')}")
            if state.get("status") == "applied":
                say(json.dumps(await api.standing(connection, given.user, given.board)))
                return Exit.OK
            await asyncio.sleep(0.05)
        raise OpsError(f"Not applied within {_WAIT_S:.0f} s; ask again: GET {path}")
    except OSError as problem:
        raise OpsError(f"The API does not answer: {problem}. Is the stack running? `scoreboard status`") from problem
    finally:
        connection.close()
