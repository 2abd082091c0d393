"""The stream: boards as they change, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quart import Blueprint, Request, Response, request

from api import frames
from api.errors import Draining, TooManyStreams
from api.frames import Farewell
from api.requests import client_address, limit_for, notes_of, one_parameter, optional_principal_of
from api.services import Services, services
from api.sse import HEADERS, SseStream, Watch
from api.streams import Visitor
from scoreboard.boards import GLOBAL, Board
from scoreboard.errors import InvalidParameter

blueprint = Blueprint("stream", __name__)

MAX_BOARDS: Final = 10
MAX_EVENT_ID: Final = 128


@blueprint.get("/leaderboard/stream")
async def get_stream() -> Response:
    """Stream boards, each up to a limit, until one side ends it."""
    parts = services()
    who = visitor(request, parts)
    boards = watched_boards(request, parts)
    if request.method == "HEAD":
        return Response(None, headers=HEADERS)
    refusal = parts.streams.refusal(who)
    if refusal is not None:
        return refused(request, refusal)
    return opened(request, parts, who, boards)


def visitor(request: Request, parts: Services) -> Visitor:
    """Return whose the stream is. Raises `InvalidToken`, `ExpiredToken`."""
    principal = optional_principal_of(request, parts.keyring)
    address = client_address(request, parts.settings.trusted_proxy_hops)
    request_id = notes_of(request).request_id
    if principal is None:
        return Visitor(request_id, address)
    return Visitor(request_id, address, principal.user_id, principal.expires_at)


def watched_boards(request: Request, parts: Services) -> Sequence[tuple[Board, int]]:
    """Return the boards asked for, each with its limit. Raises `UnknownBoard`, `InvalidParameter`."""
    board_ids = dict.fromkeys(request.args.getlist("board") or [GLOBAL.board_id])
    if len(board_ids) > MAX_BOARDS:
        raise InvalidParameter(f"board may be given up to {MAX_BOARDS} times.")
    boards = [parts.catalog.get(board_id) for board_id in board_ids]
    return [(board, limit_for(request, board)) for board in boards]


def refused(request: Request, reason: Farewell) -> Response:
    """Say no: to a browser with a stream that ends, as it gives up for ever on any other answer."""
    if request.headers.get("X-SSE-Client", "").lower() == "sdk":
        wait = frames.reconnect_ms(reason) / 1000
        raise Draining(retry_after_s=wait) if reason is Farewell.DRAIN else TooManyStreams(retry_after_s=wait)
    return Response(frames.bye(reason), headers=HEADERS)


def opened(request: Request, parts: Services, who: Visitor, boards: Sequence[tuple[Board, int]]) -> Response:
    """Open the stream; the request's notes see to it that it is closed whatever happens."""
    notes = notes_of(request)
    last_event_id = last_event_id_of(request, boards)
    stream = SseStream(
        who,
        metrics=parts.metrics,
        abort=notes.connection.abort if notes.connection else lambda: None,
        last_event_id=last_event_id,
    )
    watch = Watch(stream, boards, streams=parts.streams, hub=parts.hub)
    notes.at_end.append(watch.end)
    notes.begin_stream()
    response = Response(stream.chunks(frames.retry(frames.reconnect_ms())), headers=HEADERS)
    response.timeout = None
    return response


def last_event_id_of(request: Request, boards: Sequence[tuple[Board, int]]) -> str | None:
    """Return the id of the frame that a client says it has, None where an id does not tell that it has all of it.

    An id names one version, of one board, and not how many entries were shown: it is believed for one board at the
    board's own number. One that is nonsense matches nothing.
    """
    text = request.headers.get("Last-Event-ID") or one_parameter(request, "last_event_id")
    if len(boards) != 1 or any(limit != board.display_limit for board, limit in boards):
        return None
    return text if text and len(text) <= MAX_EVENT_ID else None
