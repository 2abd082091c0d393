"""Reading requests: tokens, bodies, parameters, addresses. Whatever is wrong is an error of the tree, never a crash."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, overload

from quart import Request

from api.edge import MAX_BODY, SCOPE_KEY, RequestNotes
from api.errors import DuplicateKey
from scoreboard.auth import Keyring, Principal, verify_token
from scoreboard.boards import USER_ID, Board
from scoreboard.errors import (
    InvalidField,
    InvalidIdempotencyKey,
    InvalidJson,
    InvalidParameter,
    InvalidToken,
    MissingToken,
    PayloadTooLarge,
    UnknownEvent,
    UnknownField,
    UnsupportedMediaType,
)

MAX_LIMIT: Final = 100
MAX_RADIUS: Final = 50
MAX_USERS: Final = 100
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?", re.ASCII)
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
    values = request.headers.getlist("Authorization")
    if not values:
        return None
    if len(values) > 1:
        raise InvalidToken("Send one Authorization header, not several.")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidToken("Send the token as: Authorization: Bearer <JWT>.")
    try:
        principal = verify_token(keyring, token.strip())
    except (ValueError, RecursionError) as error:  # a head that is nested a thousand deep, say
        raise InvalidToken from error
    notes_of(request).user_id = principal.user_id
    return principal


# Bodies


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body, which has to be one JSON object without repeated keys."""
    types = request.headers.getlist("Content-Type")
    if len(types) != 1 or request.mimetype != "application/json" or not _is_utf8(request):
        raise UnsupportedMediaType
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    return parse_object(await request.get_data(cache=True, as_text=False, parse_form_data=False))


def _is_utf8(request: Request) -> bool:
    return request.mimetype_params.get("charset", "utf-8").lower() in ("utf-8", "utf8")


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object strictly (RFC 8259, and RFC 7493 where it is stricter).

    Raises:
        PayloadTooLarge, InvalidJson, DuplicateKey: It is too long, not one object, or has a key twice.
    """
    if len(body) > MAX_BODY:
        raise PayloadTooLarge
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InvalidJson("The body is not UTF-8.") from error
    except (ValueError, RecursionError) as error:  # also a number with thousands of digits
        raise InvalidJson from error
    if not isinstance(value, dict):
        raise InvalidJson
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateKey
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def check_fields(body: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Raise `UnknownField` when a body has a field that is not meant for it."""
    unknown = sorted(set(body) - set(allowed))
    if unknown:
        raise UnknownField(f"{unknown[0][:64]!r} is not a field here. There are: {', '.join(allowed)}.")


def integer_field(body: Mapping[str, Any], name: str) -> int:
    """Return a whole number of a body, however large. Raises `InvalidField`."""
    if name not in body:
        raise InvalidField(f"{name} is missing.")
    value = body[name]
    if type(value) is not int:  # True is an instance of int
        raise InvalidField(f"{name} must be a whole number, written without quotes, fraction or exponent.")
    return value


def name_field(body: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    """Return a name of a body. Raises `InvalidField`."""
    value = body[name]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidField(f"{name} must be a text that matches {pattern.pattern}.")
    return value


def idempotency_key_of(request: Request) -> str | None:
    """Return the idempotency key, None if there is none. Raises `InvalidIdempotencyKey`."""
    values = request.headers.getlist("Idempotency-Key")
    if not values:
        return None
    if len(values) > 1 or not _IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise InvalidIdempotencyKey
    return values[0]


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


def event_id_of(text: str) -> uuid.UUID:
    """Return an event id; what cannot be one is unknown like any other."""
    if len(text) == 36:
        try:
            return uuid.UUID(text)
        except ValueError:
            pass
    raise UnknownEvent


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
