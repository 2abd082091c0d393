"""The SQS emulator, made to keep what it has acknowledged: `python queue_server.py JOURNAL`.

The emulator holds its messages in memory, and SQS does not lose any when a machine dies. So each message is written to
a journal before the sender hears of it, and its deletion too; a new process finds in it what was still to be delivered.
What is not kept is how often a message was received: after a crash it starts anew.

Run by the emulator's own interpreter, so nothing of this project is imported here. The emulator's insides are used by
name; its version is locked, and a name that is gone ends the process at its start.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Queue = dict[str, Any]

_COMPACT_AFTER = 50_000
"""Lines after which the journal is rewritten with what is still alive."""


class Journal:
    """What was sent and not yet deleted, by queue name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending = self._read()
        self._lines = 0
        self._file = self._rewrite(
            (name, message) for name, messages in self._pending.items() for message in messages.values()
        )

    def restore(self, queue: Queue) -> None:
        """Give a queue that has just been made the messages it had."""
        queue["messages"].extend(self._pending.pop(queue["name"], {}).values())

    def added(self, queue: Queue, message: Message) -> None:
        """Note a message."""
        self._write(["+", queue["name"], message])

    def removed(self, queue: Queue, ids: Iterable[str]) -> None:
        """Note deletions."""
        for message_id in ids:
            self._write(["-", queue["name"], message_id])

    def compact(self, queues: Iterable[Queue]) -> None:
        """Write the journal anew: what these queues hold, and what waits for its queue."""
        alive = [(queue["name"], message) for queue in queues for message in queue["messages"]]
        alive += [(name, message) for name, messages in self._pending.items() for message in messages.values()]
        self._file.close()
        self._file = self._rewrite(alive)
        self._lines = 0

    def is_long(self) -> bool:
        """Whether it is time to compact."""
        return self._lines > _COMPACT_AFTER

    def _write(self, line: list[Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()  # in the kernel's hands: the end of this process cannot undo it
        self._lines += 1

    def _rewrite(self, alive: Iterable[tuple[str, Message]]) -> Any:
        draft = self._path.with_suffix(".new")
        with draft.open("w") as out:
            for name, message in alive:
                # As it was sent: whoever had received it may be gone.
                fresh = {**message, "receipt_handle": None, "receive_count": 0, "first_receive_at": None}
                out.write(json.dumps(["+", name, fresh]) + "\n")
        draft.replace(self._path)
        return self._path.open("a")

    def _read(self) -> dict[str, dict[str, Message]]:
        found: dict[str, dict[str, Message]] = {}
        if not self._path.exists():
            return found
        with self._path.open() as lines:
            for line in lines:
                try:
                    sign, name, what = json.loads(line)
                except ValueError:
                    break  # cut off while it was written: nobody was told of it
                if sign == "+":
                    found.setdefault(name, {})[what["id"]] = what
                else:
                    found.get(name, {}).pop(what, None)
        return found


def keep(sqs: Any, journal: Journal) -> None:
    """Make the emulator's SQS write the journal."""
    create, send, sweep = sqs._act_create_queue, sqs._act_send_message, sqs._dlq_sweep

    def create_queue(data: dict[str, Any], url: str) -> Any:
        known = set(sqs._queues)
        answer = create(data, url)
        if answer["QueueUrl"] not in known:
            journal.restore(sqs._queues[answer["QueueUrl"]])
        return answer

    def send_message(data: dict[str, Any], url: str) -> Any:
        queue = sqs._get_q(data.get("QueueUrl", url))
        before = len(queue["messages"])
        answer = send(data, url)
        for message in queue["messages"][before:]:
            journal.added(queue, message)
        if journal.is_long():
            journal.compact(sqs._queues.values())
        return answer

    def deleting(delete: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any], str], Any]:
        def act(data: dict[str, Any], url: str) -> Any:
            queue = sqs._get_q(data.get("QueueUrl", url))
            handles = {entry.get("ReceiptHandle") for entry in data.get("Entries", [data])}
            ids = [message["id"] for message in queue["messages"] if message["receipt_handle"] in handles - {None}]
            answer = delete(data, url)
            journal.removed(queue, ids)
            return answer

        return act

    def sweep_to_dead_letters(queue: Queue) -> None:
        before = len(queue["messages"])
        sweep(queue)
        if len(queue["messages"]) < before:
            journal.compact(sqs._queues.values())

    def purging(purge: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any], str], Any]:
        def act(data: dict[str, Any], url: str) -> Any:
            answer = purge(data, url)
            journal.compact(sqs._queues.values())
            return answer

        return act

    sqs._act_send_message, sqs._dlq_sweep = send_message, sweep_to_dead_letters
    handlers = sqs._HANDLERS
    handlers |= {"CreateQueue": create_queue, "SendMessage": send_message}
    for action in ("DeleteMessage", "DeleteMessageBatch"):
        handlers[action] = deleting(handlers[action])
    for action in ("PurgeQueue", "DeleteQueue"):
        handlers[action] = purging(handlers[action])


def main() -> None:
    """Serve until told to end."""
    journal = Journal(Path(sys.argv.pop(1)))
    keep(importlib.import_module("ministack.services.sqs"), journal)
    importlib.import_module("ministack.app").main()


if __name__ == "__main__":
    # The folder of this file is no place to import from: it has names of the standard library's modules.
    sys.path[:] = [path for path in sys.path if path and Path(path).resolve() != Path(__file__).resolve().parent]
    os.umask(0o077)
    main()
