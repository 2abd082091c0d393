"""The leaderboard: a page of a board, or some of its users."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from quart import Blueprint, Request, Response, jsonify, request

from api.requests import (
    MAX_RADIUS,
    limit_for,
    number_parameter,
    one_parameter,
    user_parameter,
    users_parameter,
)
from api.services import Services, services
from scoreboard.boards import GLOBAL, USER_ID, Board
from scoreboard.errors import InvalidParameter, UnknownUser
from scoreboard.ranking import Cursor
from scoreboard.standings import SEASON, Snapshot, UserStanding

blueprint = Blueprint("leaderboard", __name__)

DEFAULT_RADIUS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardQuery:
    """Which entries are asked for: a page, or those around a user, or some users."""

    limit: int
    cursor: str | None = None
    around: str | None = None
    radius: int = DEFAULT_RADIUS
    users: tuple[str, ...] = ()


@blueprint.get("/leaderboard")
async def get_leaderboard() -> Response:
    """Show some entries of a board."""
    parts = services()
    board = parts.catalog.get(one_parameter(request, "board", GLOBAL.board_id))
    query = read_query(request, board)
    snapshot = await read_board(parts, board, query)
    response = Response(snapshot.to_json(), content_type="application/json")
    stream = f"{parts.settings.api_base_path}/leaderboard/stream"
    parameters = urlencode({"board": board.board_id, "limit": query.limit})
    response.headers["Link"] = f'<{stream}?{parameters}>; rel="events"'
    return _conditional(response, f"{snapshot.version}:{_digest(query)}")


@blueprint.get("/leaderboard/users/<user_id>")
async def get_user(user_id: str) -> Response:
    """Show where one user is on a board."""
    parts = services()
    board = parts.catalog.get(one_parameter(request, "board", GLOBAL.board_id))
    if not USER_ID.fullmatch(user_id):
        raise UnknownUser
    standing = await parts.reader.user(board, user_id)
    return _conditional(jsonify(user_shape(board, standing)), str(standing.version))


def read_query(request: Request, board: Board) -> BoardQuery:
    """Read which entries are asked for. Raises `InvalidParameter`."""
    given = {name for name in ("limit", "cursor", "around", "radius", "users") if name in request.args}
    for kind, companions in (("users", {"users"}), ("around", {"around", "radius"})):
        if kind in given and given - companions:
            raise InvalidParameter(f"{kind} cannot be combined with {', '.join(sorted(given - companions))}.")
    if "radius" in given and "around" not in given:
        raise InvalidParameter("radius goes with around.")
    return BoardQuery(
        limit=limit_for(request, board),
        cursor=one_parameter(request, "cursor"),
        around=user_parameter(request, "around"),
        radius=number_parameter(request, "radius", MAX_RADIUS) or DEFAULT_RADIUS,
        users=tuple(users_parameter(request) or ()),
    )


async def read_board(parts: Services, board: Board, query: BoardQuery) -> Snapshot:
    """Read what a query asks for. Raises `UnknownUser`, `InvalidCursor`, `BoardUnavailable`."""
    if query.users:
        return await parts.reader.users(board, query.users)
    if query.around is not None:
        return await parts.reader.around(board, query.around, query.radius)
    after = None if query.cursor is None else Cursor.decode(query.cursor)
    return await parts.reader.top(board, query.limit, after)


def user_shape(board: Board, standing: UserStanding) -> dict[str, object]:
    """Return the JSON of one user's standing."""
    return {
        "board": board.board_id,
        "season": SEASON,
        "epoch": standing.version.epoch,
        "version": standing.version.version,
        "total": standing.total,
        **standing.entry.as_dict(),
        "percentile": standing.percentile,
    }


def _digest(query: BoardQuery) -> str:
    return hashlib.blake2b(repr(query).encode(), digest_size=6).hexdigest()


def _conditional(response: Response, etag: str) -> Response:
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-cache"
    if request.if_none_match.contains_weak(etag):
        response.status_code = 304
        response.set_data(b"")
        response.headers.pop("Content-Length", None)
        response.headers.pop("Content-Type", None)
    return response
