"""What the poller and a handler process say to each other: JSON texts, each after its length."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

_LENGTH = struct.Struct("!I")


def send(fd: int, message: dict[str, Any]) -> None:
    """Write one message. Raises `BrokenPipeError` when the other side is gone."""
    data = json.dumps(message, separators=(",", ":")).encode()
    rest = memoryview(_LENGTH.pack(len(data)) + data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def receive(fd: int, *, timeout_s: float | None = None) -> dict[str, Any]:
    """Read one message.

    Raises:
        EOFError: The other side is gone.
        TimeoutError: It did not answer in time.
        ValueError: It did not speak JSON.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    (size,) = _LENGTH.unpack(_read(fd, _LENGTH.size, deadline))
    message = json.loads(_read(fd, size, deadline))
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message


def _read(fd: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if deadline is not None and not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
