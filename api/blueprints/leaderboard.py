"""The leaderboard: a page of a board, or some of its users."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from quart import Blueprint, Request, Response, jsonify, request

from api.requests import (
    MAX_LIMIT,
    MAX_RADIUS,
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
    """Which entries are asked for: a page, or those around a user, or some users; at most `limit`, if it is given."""

    limit: int | None = None
    cursor: str | None = None
    around: str | None = None
    radius: int = DEFAULT_RADIUS
    users: tuple[str, ...] = ()


@blueprint.get("/leaderboard")
async def get_leaderboard() -> Response:
    """Show some entries of a board."""
    parts = services()
    board = parts.catalog.get(one_parameter(request, "board", GLOBAL.board_id))
    query = read_query(request)
    parts.metrics.leaderboard_queries.inc()
    snapshot = await read_board(parts, board, query)
    response = Response(snapshot.to_json(), content_type="application/json")
    stream = f"{parts.settings.api_base_path}/leaderboard/stream"
    parameters = urlencode({"board": board.board_id, "limit": query.limit or board.display_limit})
    response.headers["Link"] = f'<{stream}?{parameters}>; rel="events"'
    return _conditional(response, f"{snapshot.version}:{_digest(query)}")


@blueprint.get("/leaderboard/users/<user_id>")
async def get_user(user_id: str) -> Response:
    """Show where one user is on a board."""
    parts = services()
    board = parts.catalog.get(one_parameter(request, "board", GLOBAL.board_id))
    if not USER_ID.fullmatch(user_id):
        raise UnknownUser
    parts.metrics.leaderboard_queries.inc()
    standing = await parts.reader.user(board, user_id)
    return _conditional(jsonify(user_shape(board, standing)), str(standing.version))


def read_query(request: Request) -> BoardQuery:
    """Read which entries are asked for. Raises `InvalidParameter`."""
    given = {name for name in ("limit", "cursor", "around", "radius", "users") if name in request.args}
    for kind, companions in (("users", {"users", "limit"}), ("around", {"around", "radius", "limit"})):
        if kind in given and given - companions:
            raise InvalidParameter(f"{kind} cannot be combined with {', '.join(sorted(given - companions))}.")
    if "radius" in given and "around" not in given:
        raise InvalidParameter("radius goes with around.")
    limit = number_parameter(request, "limit", MAX_LIMIT)
    # Wide enough for `limit` entries with the user in their middle.
    radius = DEFAULT_RADIUS if limit is None else max(1, limit // 2)
    return BoardQuery(
        limit=limit,
        cursor=one_parameter(request, "cursor"),
        around=user_parameter(request, "around"),
        radius=number_parameter(request, "radius", MAX_RADIUS) or radius,
        users=tuple(users_parameter(request) or ()),
    )


async def read_board(parts: Services, board: Board, query: BoardQuery) -> Snapshot:
    """Read what a query asks for. Raises `UnknownUser`, `InvalidCursor`, `BoardUnavailable`."""
    if query.users:
        found = await parts.reader.users(board, query.users)
        return replace(found, entries=found.entries[: query.limit])
    if query.around is not None:
        found = await parts.reader.around(board, query.around, query.radius)
        return found if query.limit is None else nearest(found, query.around, query.limit)
    after = None if query.cursor is None else Cursor.decode(query.cursor)
    return await parts.reader.top(board, query.limit or board.display_limit, after)


def nearest(snapshot: Snapshot, user_id: str, limit: int) -> Snapshot:
    """Return at most `limit` entries, those nearest to a user who is among them."""
    entries = snapshot.entries
    place = next(number for number, entry in enumerate(entries) if entry.user_id == user_id)
    first = max(0, min(place - limit // 2, len(entries) - limit))
    return replace(snapshot, entries=entries[first : first + limit])


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
