"""`make smoke`, against the real API on in-memory backends, and against servers that only look like it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops import smoke
from tests.support.api_process import running_api


@contextmanager
def server(answers: dict[str, tuple[int, str, bytes]]) -> Iterator[str]:
    """A server on loopback with fixed answers; anything else is 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answers.get(self.path, (404, "text/plain", b"none"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()
            thread.join()


def test_it_finds_the_api_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_api(tmp_path / "api.log") as api:
        code = smoke.main([f"http://127.0.0.1:{api.port}/"], patience_s=0)

    assert (code, capsys.readouterr().err) == (0, "")


WELL = {
    "/health/ready": (200, "application/json", b"{}"),
    "/api/leaderboard": (200, "application/json", b'{"entries": []}'),
    "/": (200, "text/html; charset=utf-8", b"<!doctype html>"),
    "/api/leaderboard/stream": (200, "text/event-stream", b"event: snapshot\ndata: {}\n\n"),
    "/api/scores": (401, "application/json", b"{}"),
}


@pytest.mark.parametrize(
    ("path", "answer", "sentence"),
    [
        ("/health/ready", (503, "application/json", b"{}"), "/health/ready answers 503, not 200"),
        ("/api/leaderboard", (200, "application/json", b'{"board": 1}'), "has no entries"),
        ("/api/leaderboard", (200, "text/html", b"<!doctype html>"), "has no entries"),
        ("/", (200, "application/json", b"{}"), "/ is application/json, not a page"),
        ("/api/leaderboard/stream", (200, "text/event-stream", b": hello\n\n"), "ends before its first event"),
        ("/api/leaderboard/stream", (429, "text/plain", b""), "does not stream: HTTP Error 429"),
        ("/api/scores", (202, "application/json", b"{}"), "/api/scores answers 202, not 401"),
    ],
)
def test_it_says_what_is_wrong(
    path: str, answer: tuple[int, str, bytes], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with server({**WELL, path: answer}) as url:
        code = smoke.main([url], patience_s=0)

    assert code == 1
    assert sentence in capsys.readouterr().err


def test_it_waits_for_a_name_that_is_not_known_yet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {**WELL, "/health/ready": (503, "text/plain", b"")}
    monkeypatch.setattr(smoke, "PAUSE_S", 0.01)
    with server(answers) as url:
        timer = threading.Timer(0.1, answers.update, [WELL])
        timer.start()
        code = smoke.main([url], patience_s=60)
        timer.join()

    assert (code, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("arguments", [[], [""], ["scoreboard.example.com"], ["http://a", "http://b"]])
def test_a_wrong_call_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert smoke.main(arguments) == 2
    assert "usage" in capsys.readouterr().err
