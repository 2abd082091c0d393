"""Boards: which there are, and their rules."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response, jsonify

from api.services import services
from scoreboard.boards import Board
from scoreboard.standings import SEASON

blueprint = Blueprint("boards", __name__)


@blueprint.get("/boards")
async def get_boards() -> Response:
    """List all boards."""
    return jsonify({"boards": [board_shape(board) for board in services().catalog.all()]})


@blueprint.get("/boards/<board_id>")
async def get_board(board_id: str) -> Response:
    """Show one board."""
    return jsonify(board_shape(services().catalog.get(board_id)))


def board_shape(board: Board) -> dict[str, Any]:
    """Return the JSON of a board's rules; `value_field` is the name of the number in a submission."""
    return {
        "id": board.board_id,
        "operator": board.operator.value,
        "sort_order": board.sort_order.value,
        "value_field": board.value_field,
        "min_change": board.min_change,
        "max_change": board.max_change,
        "min_score": board.min_score,
        "max_score": board.max_score,
        "writers": board.writers.value,
        "display_limit": board.display_limit,
        "season": SEASON,
    }
