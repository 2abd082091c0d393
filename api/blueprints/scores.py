"""Scores: submit one, and ask what became of it."""

from __future__ import annotations

import time

from quart import Blueprint, Response, jsonify, request

from api.requests import idempotency_key_of, json_object, principal_of
from api.services import services
from scoreboard.answers import rate_limit_headers
from scoreboard.service import event_state, submit_score
from scoreboard.submissions import board_of, event_id_of, read_submission

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
    if not receipt.replayed:
        parts.metrics.score_updates.inc()
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
