"""Ask a deployed system whether it works: `python -m ops.smoke URL`. It reads only, so it may ask production.

Readiness, the board, the page, the first event of a stream, and that a score without a token is refused.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

from ops.terminal import OpsError, WrongUse, run_tool, say

TIMEOUT_S: Final = 20.0
PATIENCE_S: Final = 120.0
"""DNS and the edge take a while to know a new stack."""
PAUSE_S: Final = 3.0


class Unwell(OpsError):
    """An answer is not what it has to be."""


def main(arguments: list[str], *, patience_s: float = PATIENCE_S) -> int:
    """Ask everything; gives 0 if all is well, 1 if not, 2 for wrong use."""
    return run_tool(str(__doc__), arguments, lambda given: _smoke(given, patience_s))


def _smoke(arguments: list[str], patience_s: float) -> None:
    if len(arguments) != 1 or not arguments[0].startswith(("http://", "https://")):
        raise WrongUse("usage: python -m ops.smoke https://…")
    url = arguments[0].rstrip("/")
    deadline = time.monotonic() + patience_s
    for name, ask in CHECKS.items():
        _patiently(lambda ask=ask: ask(url), deadline)  # type: ignore[misc]
        say(f"  {name}")
    say(f"{url} is well.")


def _patiently(ask: Callable[[], None], deadline: float) -> None:
    while True:
        try:
            ask()
        except Unwell:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
        else:
            return


def _answer(url: str, *, expected: int = 200, body: bytes | None = None) -> tuple[str, bytes]:
    """The content type and the body of an answer. Raises `Unwell`."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - main looked at it
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            status, kind, text = answer.status, answer.headers.get("Content-Type", ""), answer.read()
    except urllib.error.HTTPError as refusal:
        status, kind, text = refusal.code, refusal.headers.get("Content-Type", ""), refusal.read()
    except (OSError, http.client.HTTPException) as problem:
        raise Unwell(f"{url} does not answer: {problem}") from problem
    if status != expected:
        raise Unwell(f"{url} answers {status}, not {expected}: {text[:300]!r}")
    return kind, text


def _is_ready(url: str) -> None:
    _answer(f"{url}/health/ready")


def _has_boards(url: str) -> None:
    _, text = _answer(f"{url}/api/leaderboard")
    try:
        board = json.loads(text)
    except ValueError:
        board = None
    if not isinstance(board, dict) or "entries" not in board:
        raise Unwell(f"{url}/api/leaderboard has no entries: {text[:300]!r}")


def _shows_the_page(url: str) -> None:
    kind, _ = _answer(f"{url}/")
    if not kind.startswith("text/html"):
        raise Unwell(f"{url}/ is {kind}, not a page")


def _streams(url: str) -> None:
    address = f"{url}/api/leaderboard/stream"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as stream:  # noqa: S310
            while line := stream.readline():
                if line.startswith(b"data:"):
                    return
    except (OSError, http.client.HTTPException) as problem:
        raise Unwell(f"{address} does not stream: {problem}") from problem
    raise Unwell(f"{address} ends before its first event")


def _refuses_strangers(url: str) -> None:
    _answer(f"{url}/api/scores", expected=401, body=b'{"delta": 1}')


CHECKS: Final[dict[str, Callable[[str], None]]] = {
    "ready": _is_ready,
    "the board is there": _has_boards,
    "the page is there": _shows_the_page,
    "the stream begins": _streams,
    "a score without a token is refused": _refuses_strangers,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
