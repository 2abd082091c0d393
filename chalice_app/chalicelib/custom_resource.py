"""CloudFormation's custom resources: whatever happens, the stack gets its answer, or it would wait for an hour."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from scoreboard.errors import ScoreboardError

PHYSICAL_ID: Final = "scoreboard-schema"
"""It never changes, or CloudFormation would take an update for a replacement and delete the old one."""
LONGEST_REASON: Final = 1_000
"""Of the 4,096 bytes that an answer may have."""
RESERVE_S: Final = 15.0
"""Kept back to answer before the function is killed."""
ATTEMPTS: Final = 4


def is_custom_resource(event: Mapping[str, Any]) -> bool:
    """Whether CloudFormation asks, and waits for an answer at an address."""
    return "RequestType" in event and "ResponseURL" in event


def answer(event: Mapping[str, Any], act: Callable[[str], Mapping[str, str]], *, seconds_left: float) -> dict[str, Any]:
    """Act on a request and answer it; what goes wrong is the reason of a failure.

    Args:
        event: The request.
        act: Told `Create` or `Update`; gives the attributes of the resource. `Delete` leaves everything as it is.
        seconds_left: After which this process is killed.

    Returns:
        The answer that was sent.

    Raises:
        OSError: It could not be sent. Lambda then calls the function again.
    """
    reply = _Reply(event)
    with reply.in_time(seconds_left - RESERVE_S):
        try:
            attributes = act(event["RequestType"]) if event["RequestType"] != "Delete" else {}
        except ScoreboardError as error:
            return reply.send("FAILED", error.message)
        except Exception as error:  # whatever it is: a stack that hears nothing hangs
            return reply.send("FAILED", f"Unexpected error, see the function's log: {type(error).__name__}.")
        return reply.send("SUCCESS", "Done.", attributes)


class _Reply:
    """The one answer to a request."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event
        self._sent: dict[str, Any] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def in_time(self, seconds: float) -> Iterator[None]:
        """Answer that it took too long, if nothing was answered after so many seconds."""
        timer = threading.Timer(max(seconds, 0.0), self.send, ["FAILED", "It took longer than the function may run."])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def send(self, status: str, reason: str, attributes: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Send the answer, unless one was sent; return what was sent."""
        with self._lock:
            if self._sent is None:
                body = {
                    "Status": status,
                    "Reason": " ".join(reason.split())[:LONGEST_REASON],
                    "PhysicalResourceId": self._event.get("PhysicalResourceId") or PHYSICAL_ID,
                    **{name: self._event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
                    "NoEcho": False,
                    "Data": dict(attributes or {}),
                }
                _put(self._event["ResponseURL"], json.dumps(body).encode())
                self._sent = body
            return self._sent


def _put(url: str, body: bytes) -> None:
    # The address is signed for a body without a type.
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - of CloudFormation
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                return
        except OSError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(attempt / 2)
