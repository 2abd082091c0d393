"""The composition root of the API: names the backends, and puts the parts together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from api import cors
from api.blueprints import boards, control, leaderboard, pages, scores, stream
from api.catalog import BoardCatalog
from api.connections import Connections
from api.counted import counted
from api.edge import Edge
from api.emf import EmbeddedMetrics
from api.errors import answer_to
from api.health import Health
from api.hub import Hub
from api.keys import LiveKeyring
from api.metrics import Metrics
from api.relay import Relay
from api.requests import notes_of
from api.services import EXTENSION, Backends, Lifecycle, Phase, Services
from api.streams import StreamLimits, Streams
from api.sweeper import Sweeper
from scoreboard.answers import SECURITY_HEADERS, rate_limit_headers
from scoreboard.auth import Keyring
from scoreboard.config import Settings
from scoreboard.connections_postgres import async_pool, open_pool
from scoreboard.connections_redis import Login, async_redis_client, redis_client
from scoreboard.event_queue_sqs import SqsEventQueue
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import LeaderboardReader, OverLimit
from scoreboard.settings_aws import LiveSecrets
from scoreboard.submission_gate_redis import GateRules, RedisSubmissionGate

BODY_TIMEOUT_S: Final = 10
READY_WITHIN_S: Final = 1.0
"""So long a start waits for parts that are away, then it goes on without them."""
STOP_S: Final = 2.0

_log = logging.getLogger(__name__)


def create_app(settings: Settings, connections: Connections | None = None) -> Quart:
    """Return the API on the real backends; the settings are those of `load_settings`."""
    secrets = LiveSecrets(settings, loaded=True)
    return build_app(settings, connect_backends(settings, secrets), connections, read_keyring=secrets.keyring)


def connect_backends(settings: Settings, secrets: LiveSecrets) -> Backends:
    """Return the real backends; they connect by themselves, and again whenever they have to."""
    login = Login(secrets.redis_credentials, on_refused=secrets.expire)
    redis = async_redis_client(settings, login)
    writer_redis = redis_client(settings, login)
    pool = async_pool(
        secrets.database_url,
        on_refused=secrets.expire,
        min_size=settings.database_pool_min,
        max_size=settings.database_pool_max,
        idle_ms=settings.database_idle_timeout,
    )
    store_pool = open_pool(secrets.database_url, on_refused=secrets.expire)
    queue = SqsEventQueue(settings.sqs_queue_url)

    async def open_all() -> None:
        await asyncio.gather(pool.open(wait=False), queue.open())

    async def close_all() -> None:
        await queue.close()
        await redis.aclose()
        await pool.close(timeout=STOP_S)
        await asyncio.to_thread(store_pool.close, STOP_S)
        writer_redis.close()

    return Backends(
        ranks=RedisRankReader(redis, settings.redis_key_leaderboard),
        scores=PostgresScoreReader(pool),
        gate=RedisSubmissionGate(redis, GateRules.of(settings)),
        queue=queue,
        store=PostgresScoreStore(store_pool),
        writer=RedisRankWriter(writer_redis, settings.redis_key_leaderboard),
        open=open_all,
        close=close_all,
        waiting=lambda: queue.depth,
    )


def build_app(
    settings: Settings,
    backends: Backends,
    connections: Connections | None = None,
    *,
    read_keyring: Callable[[], Keyring] | None = None,
) -> Quart:
    """Return the API on any backends; its keyring is that of the settings, unless there is one that changes."""
    app = Quart("api", static_folder=None)
    app.config.update(RESPONSE_TIMEOUT=settings.request_timeout / 1000, BODY_TIMEOUT=BODY_TIMEOUT_S)
    app.url_map.merge_slashes = False  # an address with // is another address, and no reason to redirect
    keys = LiveKeyring(
        LiveSecrets(settings, loaded=True).keyring if read_keyring is None else read_keyring,
        interval_s=settings.secrets_refresh_interval / 1000,
    )
    parts = _services(settings, backends, Connections() if connections is None else connections, keys)
    app.extensions[EXTENSION] = parts
    for module in (scores, leaderboard, stream, boards):
        app.register_blueprint(module.blueprint, url_prefix=settings.api_base_path)
    for module in (control, pages):
        app.register_blueprint(module.blueprint)
    _handle_errors(app)
    _wrap_requests(app, settings)
    _live(app, parts)
    app.asgi_app = Edge(  # type: ignore[method-assign, assignment]
        app.asgi_app,  # type: ignore[arg-type]
        connections=parts.connections,
        metrics=parts.metrics,
        timeout_s=settings.request_timeout / 1000,
    )
    return app


def _services(settings: Settings, backends: Backends, connections: Connections, keys: LiveKeyring) -> Services:
    metrics = Metrics()
    backends = replace(
        backends,
        ranks=counted(backends.ranks, metrics.count_redis),
        gate=counted(backends.gate, metrics.count_redis),
        writer=counted(backends.writer, metrics.count_redis),
    )
    reader = LeaderboardReader(backends.ranks, backends.scores)
    limits = StreamLimits(
        per_instance=settings.sse_max_clients_per_instance,
        per_address=settings.sse_max_clients_per_address,
        per_user=settings.sse_max_clients_per_user,
        heartbeat_s=settings.sse_heartbeat_interval / 1000,
        message_timeout_s=settings.sse_message_timeout / 1000,
        max_age_s=settings.sse_max_age / 1000,
    )
    return Services(
        settings=settings,
        backends=backends,
        keys=keys,
        catalog=BoardCatalog(backends.scores),
        reader=reader,
        hub=Hub(reader.top, metrics),
        streams=Streams(limits, metrics),
        health=Health({"db": backends.scores.ping, "redis": backends.ranks.ping, "queue": backends.queue.ping}),
        metrics=metrics,
        connections=connections,
        lifecycle=Lifecycle(),
    )


def _handle_errors(app: Quart) -> None:
    settings: Settings = app.extensions[EXTENSION].settings

    @app.errorhandler(Exception)
    async def answer(error: Exception) -> Response:
        known = answer_to(error)
        body = known.body(notes_of(request).request_id)
        response = Response(body, status=known.status, headers=known.headers, content_type="application/json")
        if isinstance(error, OverLimit):
            response.headers.update(rate_limit_headers(settings.rate_limit_max_requests, error.admission))
        return response

    app.register_error_handler(HTTPException, answer)


def _wrap_requests(app: Quart, settings: Settings) -> None:
    @app.before_request
    async def begin() -> Response | None:
        if request.url_rule is not None:
            notes_of(request).route = request.url_rule.rule
        exists = request.routing_exception is None or isinstance(request.routing_exception, MethodNotAllowed)
        return cors.preflight(request) if exists and cors.is_preflight(request) else None

    @app.after_request
    async def finish(response: Response) -> Response:
        response.headers.add("X-Request-Id", notes_of(request).request_id)
        response.headers.extend(SECURITY_HEADERS)
        cors.add_headers(settings, request, response)
        return response


def _live(app: Quart, parts: Services) -> None:
    """Start with the process what runs beside the requests, and stop it in the opposite order."""
    sweeper = Sweeper(parts.backends.store, parts.backends.writer, parts.metrics)
    relay = Relay(
        parts.backends.ranks,
        parts.hub,
        parts.metrics,
        board_ids=parts.catalog.ids,
        on_incomplete=sweeper.trigger,
    )
    embedded = EmbeddedMetrics(parts.metrics, parts.settings) if parts.settings.cloudwatch_enabled else None
    running: list[asyncio.Task[None]] = []

    def run(work: Coroutine[Any, Any, None]) -> None:
        running.append(asyncio.create_task(work))

    @app.before_serving
    async def start() -> None:
        run(_open(parts))
        await asyncio.wait(running, timeout=READY_WITHIN_S)
        for work in (parts.catalog.run(), relay.run(), parts.streams.run(), parts.connections.cut_slow_heads()):
            run(work)
        if parts.settings.jwt_secret_arn:
            run(parts.keys.run())
        if embedded is not None:
            run(embedded.run())
        sweeper.start()
        parts.lifecycle.phase = Phase.READY

    @app.after_serving
    async def stop() -> None:
        parts.lifecycle.phase = Phase.DRAINING
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await parts.hub.close()
        await asyncio.to_thread(sweeper.stop, STOP_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(parts.backends.close(), 2 * STOP_S)
        if embedded is not None:
            embedded.write(last=True)


async def _open(parts: Services) -> None:
    try:
        await parts.backends.open()
        await parts.catalog.load()
    except Exception as error:  # the API serves what it can, and what is away is tried again
        _log.warning("started without a part that is away: %r", error)
