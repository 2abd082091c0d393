"""`scoreboard token`: a signed token, and nothing else, on standard output."""

from __future__ import annotations

from ops.state import stack_settings
from ops.terminal import Exit, WrongUse, say
from scoreboard.auth import Keyring, issue_token
from scoreboard.config import Settings


def run(*, user_id: str, role: str, ttl_s: int | None) -> Exit:
    """Print a token for a user."""
    settings = stack_settings()
    say(make_token(settings, user_id=user_id, role=role, ttl_s=ttl_s))
    return Exit.OK


def make_token(settings: Settings, *, user_id: str, role: str = "player", ttl_s: int | None = None) -> str:
    """A token that these settings accept."""
    keyring = Keyring.of(settings.jwt_secret, "", issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    try:
        return issue_token(keyring, user_id=user_id, role=role, ttl_s=ttl_s or settings.jwt_expiry)
    except ValueError as problem:
        raise WrongUse(f"{problem}.") from problem
