"""ElastiCache users: made in the Valkey that stands in for the cluster, with the access string of the template."""

from __future__ import annotations

import re
import socket
from typing import Any
from xml.sax.saxutils import escape

from tests.rehearsal.emulator.patching import module, replace

_PASSWORD = re.compile(r"(AuthenticationMode\.)?Passwords\.member\.\d+")


def patch(redis: str) -> None:
    """Follow users into a Valkey, given as `PORT:PASSWORD`; the emulator only notes them, and how many passwords."""
    port, _, password = redis.partition(":")
    cache = module("services.elasticache")
    passwords: dict[str, list[str]] = {}

    def following(act: Any) -> Any:
        def action(parameters: Any) -> Any:
            answer = act(parameters)
            if answer[0] == 200:
                user = cache._users[cache._p(parameters, "UserId")]
                given = [cache._p(parameters, name) for name in sorted(parameters) if _PASSWORD.fullmatch(name)]
                known = passwords[user["UserId"]] = given or passwords.get(user["UserId"], [])
                rules = ["reset", *user["AccessString"].split(), *(f">{each}" for each in known)]
                _command(int(port), password, ["ACL", "SETUSER", user["UserName"], *rules])
            return answer

        return action

    for name in ("_create_user", "_modify_user"):
        replace(cache, name, following)
    # An access string with a channel has an &, which is not XML as it stands.
    replace(cache, "_user_xml", lambda show: lambda user: show({**user, "AccessString": escape(user["AccessString"])}))


def _command(port: int, password: str, words: list[str]) -> None:
    """One command in the protocol of Redis, for which the interpreter here has no library."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection, connection.makefile("rwb") as stream:
        for command in (["AUTH", password], words):
            encoded = [word.encode() for word in command]
            parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
            stream.write(b"".join(parts))
            stream.flush()
            if not (answer := stream.readline()).startswith(b"+OK"):
                raise ValueError(f"Valkey refuses {command[0]}: {answer.decode().strip()}")
