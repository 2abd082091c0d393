"""Handlers that misbehave on request, for the local event source. Their events are told by the message's text."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

TRACE = "HANDLER_TRACE"
"""The variable that names the file in which every delivery is noted."""


def obedient(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do what the messages say: `poison` fails alone, `raise`, `hang` and `die` take the batch along."""
    with Path(os.environ[TRACE]).open("a") as trace:
        trace.writelines(f"{record['body']} {os.getpid()} {len(event['Records'])}\n" for record in event["Records"])
    assert context.get_remaining_time_in_millis() > 0
    bodies = {record["body"] for record in event["Records"]}
    if "raise" in bodies:
        raise RuntimeError("as asked")
    if "hang" in bodies:
        time.sleep(3600)
    if "die" in bodies:
        os._exit(1)
    failed = [record["messageId"] for record in event["Records"] if record["body"].startswith("poison")]
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}
