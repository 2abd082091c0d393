"""Rotation of the application's password of Redis. An ElastiCache user may have two, so nobody is locked out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from chalicelib.rotation import Fields, RotationError

if TYPE_CHECKING:
    from mypy_boto3_elasticache import ElastiCacheClient

PASSWORD_BYTES: Final = 32
"""Written as 64 hexadecimal digits: ElastiCache takes 16 to 128 characters, and of punctuation only some."""
POLL_S: Final = 2.0


class CachePassword:
    """`Recipe` of the secret with `username`, `password` and `user_id`."""

    def __init__(
        self,
        cache: ElastiCacheClient,
        answers: Callable[[str, str], bool],
        *,
        time_left: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take ElastiCache, and what tries to log in with user and password.

        `time_left` says whether to wait any longer for a change to take effect.
        """
        self._cache = cache
        self._answers = answers
        self._time_left = time_left
        self._sleep = sleep

    def successor(self, current: Fields) -> Fields:
        """Return the secret with another password."""
        return {**current, "password": secrets.token_hex(PASSWORD_BYTES)}

    def install(self, current: Fields, pending: Fields) -> None:
        """Give the user both passwords, and wait until that holds."""
        user_id = pending.get("user_id")
        if not user_id:
            raise RotationError("The secret names no user_id.")
        self._wait_until_active(user_id)  # also of an earlier attempt
        self._cache.modify_user(UserId=user_id, Passwords=[pending["password"], current["password"]])
        self._wait_until_active(user_id)

    def check(self, current: Fields, pending: Fields) -> None:
        """Log in with the pending password, and with the current one, which processes go on using for a while."""
        for fields, what in ((pending, "pending"), (current, "current")):
            try:
                accepted = self._answers(fields["username"], fields["password"])
            except Exception as error:  # the driver's errors have no common root; theirs may hold what was sent
                raise RotationError(f"Redis does not take the {what} password: {type(error).__name__}.") from None
            if not accepted:
                raise RotationError(f"Redis does not answer to the {what} password.")

    def _wait_until_active(self, user_id: str) -> None:
        while True:
            (user,) = self._cache.describe_users(UserId=user_id)["Users"]
            status = user.get("Status", "")
            if status == "active":
                return
            if status != "modifying":
                raise RotationError(f"The user {user_id} of ElastiCache is {status}.")
            if not self._time_left():
                raise RotationError(f"The user {user_id} of ElastiCache is still being changed.")
            self._sleep(POLL_S)
