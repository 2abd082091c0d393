"""Scores: submit one, and ask what became of it."""

from __future__ import annotations

import time
from typing import Any

from quart import Blueprint, Response, jsonify, request

from api.errors import retry_after
from api.requests import (
    check_fields,
    event_id_of,
    idempotency_key_of,
    integer_field,
    json_object,
    name_field,
    principal_of,
)
from api.services import services
from scoreboard.boards import GLOBAL, USER_ID, Board
from scoreboard.errors import InvalidField
from scoreboard.ports import Admission
from scoreboard.service import Submission, event_state, submit_score

blueprint = Blueprint("scores", __name__)


@blueprint.post("/scores")
async def post_score() -> Response:
    """Accept a score."""
    parts = services()
    principal = principal_of(request, parts.keyring)
    key = idempotency_key_of(request)
    body = await json_object(request)
    board = parts.catalog.get(board_of(body))
    submission = read_submission(body, board)
    started = time.perf_counter()
    receipt = await submit_score(
        submission,
        principal=principal,
        idempotency_key=key,
        board=board,
        gate=parts.backends.gate,
        queue=parts.backends.queue,
    )
    parts.metrics.submit_seconds.observe(time.perf_counter() - started)
    response = jsonify({"event_id": str(receipt.event_id), "status": "queued"})
    response.status_code = 202
    response.headers.add("Location", f"{parts.settings.api_base_path}/scores/{receipt.event_id}")
    response.headers.extend(rate_limit_headers(parts.settings.rate_limit_max_requests, receipt.admission))
    if receipt.replayed:
        response.headers.add("Idempotent-Replayed", "true")
    return response


@blueprint.get("/scores/<event_id>")
async def get_score(event_id: str) -> Response:
    """Say what became of a score."""
    parts = services()
    principal = principal_of(request, parts.keyring)
    state = await event_state(
        event_id_of(event_id), principal=principal, reader=parts.backends.scores, gate=parts.backends.gate
    )
    answer = {"event_id": str(state.event_id), "status": state.status}
    if state.reason is not None:
        answer["reason"] = state.reason
    response = jsonify(answer)
    response.headers["Cache-Control"] = "no-store"
    return response


def board_of(body: dict[str, Any]) -> str:
    """Return the board that a submission names, or the default."""
    board_id = body.get("board", GLOBAL.board_id)
    if not isinstance(board_id, str):
        raise InvalidField("board must be the name of a board.")
    return board_id


def read_submission(body: dict[str, Any], board: Board) -> Submission:
    """Read a submission by the rules of its board. Raises `UnknownField`, `InvalidField`."""
    check_fields(body, (board.value_field, "board", "user_id"))
    user_id = name_field(body, "user_id", USER_ID) if "user_id" in body else None
    return Submission(board.board_id, integer_field(body, board.value_field), user_id)


def rate_limit_headers(limit: int, admission: Admission) -> dict[str, str]:
    """Return how much of the limit is left, and in how many seconds there will be more."""
    return {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(admission.remaining),
        "RateLimit-Reset": str(retry_after(admission.reset_ms / 1000)),
    }
