"""Reading requests: tokens, bodies, parameters, addresses. Whatever is wrong is an error of the tree, never a crash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast, overload

from quart import Request

from api.edge import SCOPE_KEY, RequestNotes
from scoreboard.auth import Keyring, Principal
from scoreboard.boards import USER_ID, Board
from scoreboard.errors import InvalidParameter, MissingToken
from scoreboard.submissions import check_content, parse_object, read_key, read_principal

MAX_LIMIT: Final = 100
MAX_RADIUS: Final = 50
MAX_USERS: Final = 100
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


def notes_of(request: Request) -> RequestNotes:
    """Return what is noted of a request."""
    return cast("RequestNotes", request.scope[SCOPE_KEY])  # type: ignore[typeddict-item]


# Tokens


def principal_of(request: Request, keyring: Keyring) -> Principal:
    """Return whom the request's token speaks for. Raises `MissingToken`, `ExpiredToken`, `InvalidToken`."""
    principal = optional_principal_of(request, keyring)
    if principal is None:
        raise MissingToken
    return principal


def optional_principal_of(request: Request, keyring: Keyring) -> Principal | None:
    """Return whom the request's token speaks for, None without one; a bad token is an error all the same."""
    principal = read_principal(request.headers.getlist("Authorization"), keyring)
    if principal is not None:
        notes_of(request).user_id = principal.user_id
    return principal


# Bodies


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body, which has to be one JSON object without repeated keys."""
    check_content(request.headers.getlist("Content-Type"), request.headers.get("Content-Encoding"))
    return parse_object(await request.get_data(cache=True, as_text=False, parse_form_data=False))


def idempotency_key_of(request: Request) -> str | None:
    """Return the idempotency key, None if there is none. Raises `InvalidIdempotencyKey`."""
    return read_key(request.headers.getlist("Idempotency-Key"))


# Parameters


@overload
def one_parameter(request: Request, name: str, default: str) -> str: ...
@overload
def one_parameter(request: Request, name: str, default: None = None) -> str | None: ...
def one_parameter(request: Request, name: str, default: str | None = None) -> str | None:
    """Return a query parameter that may be given once, or the default. Raises `InvalidParameter`."""
    values = request.args.getlist(name)
    if len(values) > 1:
        raise InvalidParameter(f"{name} may be given once.")
    return values[0] if values else default


def number_parameter(request: Request, name: str, highest: int) -> int | None:
    """Return a whole number from 1 to `highest`, None if it is not given. Raises `InvalidParameter`."""
    text = one_parameter(request, name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= highest:
        raise InvalidParameter(f"{name} must be a whole number from 1 to {highest}.")
    return int(text)


def user_parameter(request: Request, name: str) -> str | None:
    """Return a user id, None if it is not given. Raises `InvalidParameter`."""
    text = one_parameter(request, name)
    if text is not None and not USER_ID.fullmatch(text):
        raise InvalidParameter(f"{name} must be a user id.")
    return text


def users_parameter(request: Request) -> list[str] | None:
    """Return the user ids of `users`, separated by commas, each once; None if it is not given."""
    values = request.args.getlist("users")
    if not values:
        return None
    users = list(dict.fromkeys(",".join(values).split(",")))
    if len(users) > MAX_USERS or not all(USER_ID.fullmatch(user) for user in users):
        raise InvalidParameter(f"users must be 1 to {MAX_USERS} user ids separated by commas.")
    return users


def limit_for(request: Request, board: Board) -> int:
    """Return how many entries are asked for, or the board's own number."""
    return number_parameter(request, "limit", MAX_LIMIT) or board.display_limit


# Addresses


def client_address(request: Request, trusted_hops: int) -> str:
    """Return the client's address.

    Each trusted proxy has appended the address it saw to X-Forwarded-For, so the last `trusted_hops` entries can be
    believed and the first of them is the client. All before it is what the client wrote itself.
    """
    client = cast("Sequence[Any] | None", request.scope.get("client"))
    peer = str(client[0]) if client else "unknown"
    if trusted_hops == 0:
        return peer
    hops = [part.strip() for part in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if part.strip()]
    return hops[-trusted_hops][:64] if len(hops) >= trusted_hops else peer
