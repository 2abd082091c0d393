"""`scoreboard redrive`: dead letters whose cause is gone go back to the score queue."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Final

from ops.state import SHARED_VARIABLES, stack_environ
from ops.terminal import Exit, OpsError, say
from scoreboard.connections_postgres import open_pool
from scoreboard.dead_letters import Kind, RedriveReport, redrive
from scoreboard.dead_letters_sqs import HOLD_S, SqsDeadLetters
from scoreboard.event_queue_sqs import sqs_client
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.settings_aws import load_settings

READ_TIMEOUT_S: Final = 5.0
MOST_S: Final = HOLD_S - 20
"""For so long messages are taken: what is held must not come back meanwhile."""


def run(*, kinds: Sequence[str] | None, limit: int, dry_run: bool, as_json: bool) -> Exit:
    """Send dead letters of some kinds back; 1 when the queue did not take all of them."""
    environ = stack_environ()
    settings = load_settings(environ, checks_tokens=False)
    if not settings.sqs_dead_letter_queue_url:
        raise OpsError("No stack has run here: start one with `make run`, or set SQS_DEAD_LETTER_QUEUE_URL.")
    for name in SHARED_VARIABLES:
        if name.startswith("AWS_") and name in environ:
            os.environ[name] = environ[name]
    deadline = time.monotonic() + MOST_S
    pool = open_pool(settings.database_url)
    try:
        queue = SqsDeadLetters(
            settings.sqs_dead_letter_queue_url,
            settings.sqs_queue_url,
            lambda: sqs_client(read_timeout_s=READ_TIMEOUT_S),
        )
        report = redrive(
            queue,
            PostgresScoreStore(pool),
            kinds=[Kind(kind) for kind in kinds or [Kind.APPLICABLE]],
            limit=limit,
            dry_run=dry_run,
            time_left=lambda: time.monotonic() < deadline,
        )
    finally:
        pool.close()
    say(_as_json(report) if as_json else _in_words(report, dry_run=dry_run))
    return Exit.FAILED if report.failed else Exit.OK


def _as_json(report: RedriveReport) -> str:
    return json.dumps(
        {
            "kinds": {str(kind): count for kind, count in report.kinds.items()},
            "redriven": report.redriven,
            "failed": report.failed,
            "whole": report.whole,
        }
    )


def _in_words(report: RedriveReport, *, dry_run: bool) -> str:
    found = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items() if count) or "none that is free"
    lines = [f"dead letters: {found}", f"{'would go back' if dry_run else 'sent back'}: {report.redriven}"]
    if report.failed:
        lines.append(f"not taken by the score queue: {report.failed}")
    if not report.whole:
        lines.append("There may be more: run it again.")
    return "\n".join(lines)
