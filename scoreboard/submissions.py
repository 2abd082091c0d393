"""Reading submissions as HTTP carries them, whichever server took them. Whatever is wrong is an error of the tree."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any, Final

from scoreboard.auth import Keyring, Principal, verify_token
from scoreboard.boards import GLOBAL, USER_ID, Board
from scoreboard.errors import (
    DuplicateKey,
    InvalidField,
    InvalidIdempotencyKey,
    InvalidJson,
    InvalidToken,
    PayloadTooLarge,
    UnknownEvent,
    UnknownField,
    UnsupportedMediaType,
)
from scoreboard.service import Submission

MAX_BODY: Final = 4096
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?", re.ASCII)


def read_principal(authorization: Sequence[str], keyring: Keyring) -> Principal | None:
    """Return whom a token speaks for, None without one; a bad token is an error all the same.

    Args:
        authorization: The values of the header, of which there may be one.
        keyring: The keys that are valid.

    Raises:
        ExpiredToken, InvalidToken: There is one, and it is not good.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise InvalidToken("Send one Authorization header, not several.")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidToken("Send the token as: Authorization: Bearer <JWT>.")
    try:
        return verify_token(keyring, token.strip())
    except (ValueError, RecursionError) as error:  # a head that is nested a thousand deep, say
        raise InvalidToken from error


def check_content(content_type: Sequence[str], content_encoding: str | None) -> None:
    """Raise `UnsupportedMediaType` unless the body is plain JSON in UTF-8."""
    if len(content_type) != 1 or not _is_json(content_type[0]):
        raise UnsupportedMediaType
    if (content_encoding or "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")


def _is_json(content_type: str) -> bool:
    header = Message()
    header["Content-Type"] = content_type
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return False
    return str(header.get_param("charset", "utf-8")).lower() in ("utf-8", "utf8")


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


def read_key(idempotency_key: Sequence[str]) -> str | None:
    """Return the idempotency key, None if there is none. Raises `InvalidIdempotencyKey`."""
    if not idempotency_key:
        return None
    if len(idempotency_key) > 1 or not _IDEMPOTENCY_KEY.fullmatch(idempotency_key[0]):
        raise InvalidIdempotencyKey
    return idempotency_key[0]


def board_of(body: Mapping[str, Any]) -> str:
    """Return the board that a submission names, or the default."""
    board_id = body.get("board", GLOBAL.board_id)
    if not isinstance(board_id, str):
        raise InvalidField("board must be the name of a board.")
    return board_id


def read_submission(body: Mapping[str, Any], board: Board) -> Submission:
    """Read a submission by the rules of its board. Raises `UnknownField`, `InvalidField`."""
    check_fields(body, (board.value_field, "board", "user_id"))
    user_id = name_field(body, "user_id", USER_ID) if "user_id" in body else None
    return Submission(board.board_id, integer_field(body, board.value_field), user_id)


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


def event_id_of(text: str) -> uuid.UUID:
    """Return an event id; what cannot be one is unknown like any other."""
    if len(text) == 36:
        try:
            return uuid.UUID(text)
        except ValueError:
            pass
    raise UnknownEvent
