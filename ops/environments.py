"""The poller's side of a handler process: start, invoke, kill, replace."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from typing import Any

from ops.frames import receive, send

_START_WITHIN_S = 30.0


class InvocationFailed(Exception):
    """The whole invocation failed: its messages come again after the queue's visibility timeout."""


class ExecutionEnvironment:
    """One handler process, warm from one invocation to the next. Used by one thread."""

    def __init__(self, handler: str, timeout_ms: int) -> None:
        self._handler = handler
        self._timeout_ms = timeout_ms
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._answers = -1

    @property
    def pid(self) -> int | None:
        """The process, if it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def ensure(self) -> bool:
        """Start the process if it does not live; true if it was started.

        Raises:
            InvocationFailed: The handler cannot even be imported.
        """
        if self.pid is not None:
            return False
        self.discard()
        source, self._requests = os.pipe()
        try:
            self._answers, sink = os.pipe()
        except OSError:
            os.close(source)
            raise
        command = [sys.executable, "-m", "ops.handler_process", self._handler, str(source), str(sink)]
        try:
            self._process = subprocess.Popen(command, pass_fds=(source, sink), stdin=subprocess.DEVNULL)
        finally:
            os.close(source)
            os.close(sink)
        try:
            receive(self._answers, timeout_s=_START_WITHIN_S)
        except (EOFError, TimeoutError, ValueError) as problem:
            self.discard()
            raise InvocationFailed(f"{self._handler} does not start; the reason is above") from problem
        return True

    def invoke(self, event: dict[str, Any]) -> Any:
        """Give the event to the handler; gives its result.

        Raises:
            InvocationFailed: It raised, took too long (and was killed), or its process died.
        """
        request = {"request_id": str(uuid.uuid4()), "timeout_ms": self._timeout_ms, "event": event}
        try:
            send(self._requests, request)
            answer = receive(self._answers, timeout_s=self._timeout_ms / 1000)
        except TimeoutError:
            self.discard()
            raise InvocationFailed(f"Task timed out after {self._timeout_ms / 1000:.2f} seconds") from None
        except (EOFError, BrokenPipeError, ValueError) as problem:
            self.discard()
            raise InvocationFailed("the handler's process ended") from problem
        if "error" in answer:
            raise InvocationFailed(answer["error"])
        return answer.get("result")

    def discard(self) -> None:
        """Kill the process, if there is one."""
        pipes, self._requests, self._answers = (self._requests, self._answers), -1, -1
        for fd in pipes:
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None
