"""The entry point of the API: `python -m api.server`. One process, its own listening socket, and an orderly end.

SIGTERM or SIGINT: the process is not ready any more, every stream gets its goodbye, what is being answered is answered,
who does not take what is sent is cut, and it exits with 0. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final, cast

from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Config
from hypercorn.utils import wrap_app
from quart import Quart

from api.app import create_app
from api.connections import Connections, event_loop
from api.logs import configure_logs
from api.services import EXTENSION, Phase, Services
from scoreboard.config import Settings
from scoreboard.errors import ConfigError
from scoreboard.settings_aws import load_settings

BACKLOG: Final = 4096
SEND_BUFFER: Final = 32 * 1024
"""The kernel doubles it. Without it a client that does not read fills megabytes of kernel memory before anyone sees."""
KEEP_ALIVE_S: Final = 75
"""Longer than a load balancer keeps a connection idle (60 s by default): else it writes to one that we just closed."""
STREAM_PATIENCE_S: Final = 2.0
BODY_PATIENCE_S: Final = 2.0
CLOSE_PATIENCE_S: Final = 0.5
EXIT_SETTINGS: Final = 2

_log = logging.getLogger("api.server")


def main(make_app: Callable[[Settings, Connections], Quart] = create_app) -> int:
    """Run the API; return the exit code of the process."""
    try:
        settings = load_settings()
    except ConfigError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - logs are configured by the settings
        return EXIT_SETTINGS
    try:
        listening = listen(settings)
    except OSError as error:
        print(_why_not(settings, error), file=sys.stderr)  # noqa: T201
        return EXIT_SETTINGS
    configure_logs(settings)
    _allow_many_files()
    connections = Connections()
    with asyncio.Runner(loop_factory=lambda: event_loop(connections)) as runner:
        runner.run(serve(make_app(settings, connections), settings, listening))
    logging.shutdown()
    return 0


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket; its options are those of every connection. Raises `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # For a client whose network is gone: it never fills a buffer, it only never acknowledges.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.sse_message_timeout + 3000)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _allow_many_files() -> None:
    """Raise the number of open files to what the system allows: every stream is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _why_not(settings: Settings, error: OSError) -> str:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return f"Cannot listen on {where}: another program does already. Stop it, or choose another PORT."
    return f"Cannot listen on {where}: {error.strerror or error}."


async def serve(app: Quart, settings: Settings, listening: socket.socket) -> None:
    """Serve until a signal comes, then drain."""
    parts = cast("Services", app.extensions[EXTENSION])
    stop, drained = _signals(), asyncio.Event()
    warden = asyncio.create_task(_cut_leftovers(parts, drained))
    try:
        await worker_serve(
            wrap_app(app, 0, "asgi"),
            _hypercorn(settings, listening),
            shutdown_trigger=lambda: _drain(parts, stop, drained),
        )
    finally:
        warden.cancel()
        await asyncio.gather(warden, return_exceptions=True)
    _log.info("stopped", extra={"event_type": "stopped"})


def _signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _hypercorn(settings: Settings, listening: socket.socket) -> Config:
    config = Config()
    # Hypercorn closes the descriptor that it is given, so it gets one of its own.
    config.bind = [f"fd://{os.dup(listening.fileno())}"]
    listening.close()
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = 1_000_000
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    # Ours is `_cut_leftovers`; where Hypercorn's own limit strikes first, it answers what it ends with a bare 500.
    config.graceful_timeout = settings.shutdown_grace_period / 1000 + 5
    return config


async def _drain(parts: Services, stop: asyncio.Event, drained: asyncio.Event) -> None:
    """Wait for the signal, then say goodbye to the streams. Hypercorn does the rest when this returns."""
    gc.collect()
    gc.freeze()  # what is there by now stays; the collector need not look at it again and again
    _log.info("ready", extra={"event_type": "ready", "port": parts.settings.port})
    await stop.wait()
    parts.lifecycle.phase = Phase.DRAINING
    _log.info("draining %d streams", len(parts.streams), extra={"event_type": "draining"})
    await parts.streams.drain(patience_s=STREAM_PATIENCE_S)
    drained.set()


async def _cut_leftovers(parts: Services, drained: asyncio.Event) -> None:
    """After the streams have ended: drop connections on which nothing goes on any more, and when time is up, all.

    Hypercorn waits for all of them, and one whose client does not read never ends by itself.
    """
    await drained.wait()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + parts.settings.shutdown_grace_period / 1000
    while True:
        await asyncio.sleep(CLOSE_PATIENCE_S / 2)
        parts.connections.abort_finished(idle_s=CLOSE_PATIENCE_S, stalled_s=STREAM_PATIENCE_S, body_s=BODY_PATIENCE_S)
        if loop.time() >= deadline:
            parts.connections.abort_all()


if __name__ == "__main__":
    sys.exit(main())
