"""A handler's process, as Lambda's execution environment: imports the handler once, then serves events.

`python -m ops.handler_process MODULE.FUNCTION READ_FD WRITE_FD`. What the handler prints goes to the worker's
log; the answers go through the pipe.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
import uuid
from dataclasses import dataclass
from typing import Any

from ops.frames import receive, send
from ops.guard import kernel_tie

FUNCTION = "scoreboard-score-events"


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler about its invocation."""

    aws_request_id: str
    deadline: float
    log_stream_name: str
    function_name: str = FUNCTION
    function_version: str = "$LATEST"
    invoked_function_arn: str = f"arn:aws:lambda:us-east-1:000000000000:function:{FUNCTION}"
    memory_limit_in_mb: int = 512
    log_group_name: str = f"/aws/lambda/{FUNCTION}"
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this process is killed."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def main(arguments: list[str]) -> None:
    """Serve until the poller closes the pipe."""
    name, source, answers = arguments[0], int(arguments[1]), int(arguments[2])
    kernel_tie()(signal.SIGKILL)
    # The poller decides when this process ends: after the batch in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    module, _, function = name.rpartition(".")
    handler = getattr(importlib.import_module(module), function)
    stream = uuid.uuid4().hex
    send(answers, {"ready": True})
    while True:
        try:
            request = receive(source)
        except EOFError:
            return
        context = Context(
            aws_request_id=request["request_id"],
            deadline=time.monotonic() + request["timeout_ms"] / 1000,
            log_stream_name=stream,
        )
        send(answers, _invoke(handler, request["event"], context))


def _invoke(handler: Any, event: dict[str, Any], context: Context) -> dict[str, Any]:
    try:
        return {"result": handler(event, context)}
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
    # Threads of the handler's libraries must not keep the process: Lambda would not wait for them either.
    os._exit(0)
