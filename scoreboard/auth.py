"""Tokens: JWT, HS256, checked against a keyring of the current, the previous and the next key.

The rules follow RFC 8725 (JSON Web Token Best Current Practices): one fixed algorithm, every claim required, issuer
and audience compared exactly, the key id looked up and never used as a path or an address.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import jwt

from scoreboard.boards import USER_ID
from scoreboard.config import MIN_SECRET_BYTES
from scoreboard.errors import ExpiredToken, Forbidden, InvalidToken

ALGORITHM: Final = "HS256"
LEEWAY_S: Final = 5
SCOPES: Final = {"player": "scores:write", "server": "scores:write scores:write:any"}
WRITE: Final = "scores:write"
WRITE_ANY: Final = "scores:write:any"
_REQUIRED: Final = ("sub", "exp", "iat", "iss", "aud")
_TIMES: Final = ("exp", "iat", "nbf")
_LAST_TIME: Final = 2**53
"""Seconds since 1970. Any later time is no time, and more than a float can hold exactly (or at all)."""


def key_id(secret: str) -> str:
    """Return the public name of a key."""
    return hashlib.sha256(b"scoreboard-kid:" + secret.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys valid now, the current one first, with the issuer and audience that tokens are bound to."""

    secrets: tuple[str, ...] = field(repr=False)
    issuer: str
    audience: str

    @classmethod
    def of(cls, current: str, previous: str, upcoming: str = "", *, issuer: str, audience: str) -> Keyring:
        """Return the keyring of the current key and, where there are such, the previous and the next one."""
        return cls(tuple(secret for secret in (current, previous, upcoming) if secret), issuer, audience)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token speaks for.

    Attributes:
        user_id: The claim `sub`.
        scopes: What it may do.
        expires_at: Seconds since 1970.
    """

    user_id: str
    scopes: frozenset[str]
    expires_at: int

    @property
    def is_server(self) -> bool:
        """Whether it may score for anyone."""
        return WRITE_ANY in self.scopes

    def require(self, scope: str) -> None:
        """Raise `Forbidden` when the token lacks a scope."""
        if scope not in self.scopes:
            raise Forbidden(f"The token lacks the scope {scope}.")


def issue_token(keyring: Keyring, *, user_id: str, role: str = "player", ttl_s: int, now: float | None = None) -> str:
    """Return a signed token of a user.

    Raises:
        ValueError: The user id or the role is not one.
    """
    if not USER_ID.fullmatch(user_id):
        raise ValueError(f"{user_id!r} is not a user id")
    if role not in SCOPES:
        raise ValueError(f"{role!r} is not a role: {', '.join(SCOPES)}")
    issued = int(time.time() if now is None else now)
    claims = {
        "sub": user_id,
        "role": role,
        "scope": SCOPES[role],
        "iat": issued,
        "exp": issued + ttl_s,
        "iss": keyring.issuer,
        "aud": keyring.audience,
    }
    secret = keyring.secrets[0]
    return _jwt(secret).encode(claims, secret, algorithm=ALGORITHM, headers={"kid": key_id(secret)})


def verify_token(keyring: Keyring, token: str) -> Principal:
    """Return whom a token speaks for.

    Raises:
        ExpiredToken: It was good and is too old.
        InvalidToken: Anything else is wrong with it.
    """
    principal = _verified(keyring, token)
    if time.time() > principal.expires_at + LEEWAY_S:
        raise ExpiredToken
    return principal


@lru_cache(maxsize=10_000)
def _verified(keyring: Keyring, token: str) -> Principal:
    """Check everything about a token. What was found good stays good until it expires, and comes with every score.

    Errors are not kept, so that rubbish cannot push good tokens out; another keyring checks anew.
    """
    claims = _claims(keyring, token)
    if any(abs(int(claims[name])) > _LAST_TIME for name in _TIMES if name in claims):
        raise InvalidToken("A time of the token is out of range.")
    subject = claims["sub"]
    if not isinstance(subject, str) or not USER_ID.fullmatch(subject):
        raise InvalidToken("The claim sub is not a user id.")
    # A token that lists scopes has those and no others; one that does not has those of its role.
    role, scope = claims.get("role", "player"), claims.get("scope")
    if not isinstance(role, str) or not isinstance(scope, str | None):
        raise InvalidToken("The claims role and scope are texts.")
    if scope is None:
        scope = SCOPES.get(role, "")
    scopes = frozenset(scope.split())
    return Principal(subject, scopes, int(claims["exp"]))


def _claims(keyring: Keyring, token: str) -> dict[str, Any]:
    problem: jwt.PyJWTError | None = None
    for secret in _candidates(keyring, token):
        try:
            return _jwt(secret).decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                audience=keyring.audience,
                issuer=keyring.issuer,
                leeway=LEEWAY_S,
                options={"require": list(_REQUIRED), "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise ExpiredToken from error
        except jwt.InvalidSignatureError as error:
            problem = error
        except (jwt.PyJWTError, OverflowError) as error:  # OverflowError: a time of Infinity
            raise InvalidToken(f"The token is not valid here: {error}.") from error
    raise InvalidToken("The token is not signed with a key of this service.") from problem


def _candidates(keyring: Keyring, token: str) -> tuple[str, ...]:
    """The keys to try: the one that is named, or all where none is."""
    try:
        name = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError) as error:  # ValueError: no text that could be sent
        raise InvalidToken("The token is not a JWT.") from error
    if name is None:
        return keyring.secrets
    return tuple(secret for secret in keyring.secrets if key_id(secret) == name)


def _jwt(secret: str) -> jwt.PyJWT:
    """A codec that insists on the key length of RFC 7518, unless development chose a short key knowingly.

    Production cannot: `Settings` refuses such a key there.
    """
    return _STRICT if len(secret.encode()) >= MIN_SECRET_BYTES else _LENIENT


# Said once, by the settings, and not at every token, on the error channel of whoever prints one.
warnings.filterwarnings("ignore", category=jwt.InsecureKeyLengthWarning)

_STRICT: Final = jwt.PyJWT(options={"enforce_minimum_key_length": True})
_LENIENT: Final = jwt.PyJWT(options={"enforce_minimum_key_length": False})
