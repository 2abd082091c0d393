"""Rotation of the keys that sign tokens: previous, current and next, of which all three are accepted."""

from __future__ import annotations

import secrets
from typing import Final

from chalicelib.rotation import Fields, RotationError
from scoreboard.auth import Keyring, issue_token, verify_token
from scoreboard.config import MIN_SECRET_BYTES, Settings
from scoreboard.errors import Unauthenticated

KEY_BYTES: Final = 48


class SigningKeys:
    """`Recipe` of the keyring: each key moves one place on, and a new one comes last.

    So every process has known a key for a whole period before anything is signed with it, and accepts it for a whole
    period after. While there is no next key, one is only added: a key that nobody was told of is not signed with.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def successor(self, current: Fields) -> Fields:
        """Return the keyring that follows another."""
        new = secrets.token_urlsafe(KEY_BYTES)
        if not current.get("next"):
            return {**current, "previous": current.get("previous", ""), "next": new}
        return {**current, "previous": current["current"], "current": current["next"], "next": new}

    def install(self, current: Fields, pending: Fields) -> None:
        """Nothing: whoever accepts tokens reads the secret."""

    def check(self, current: Fields, pending: Fields) -> None:
        """Sign with each keyring and verify with the other, as processes will that read the secret at other times."""
        if not current.get("current") or not pending.get("current"):
            raise RotationError("The keyring has no current key.")
        if any(pending[name] and len(pending[name].encode()) < MIN_SECRET_BYTES for name in ("current", "next")):
            raise RotationError("The pending keyring has a key that is too short.")
        old, new = self._ring(current), self._ring(pending)
        for signs, accepts, what in (
            (new, new, "A token of the pending keyring is not accepted by itself."),
            (new, old, "A token of the pending keyring is not accepted by processes that have the current one."),
            (old, new, "A token of the current keyring is not accepted by the pending one."),
        ):
            try:
                verify_token(accepts, issue_token(signs, user_id="rotation", ttl_s=60))
            except Unauthenticated:
                raise RotationError(what) from None

    def _ring(self, fields: Fields) -> Keyring:
        return Keyring.of(
            fields["current"],
            fields.get("previous", ""),
            fields.get("next", ""),
            issuer=self._settings.jwt_issuer,
            audience=self._settings.jwt_audience,
        )
