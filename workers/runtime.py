"""Cold start of a function: what is kept across invocations, made once and on first use."""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

from aws_lambda_powertools import Logger, Metrics

from scoreboard.config import Settings
from scoreboard.connections_postgres import open_pool
from scoreboard.connections_redis import Login, redis_client
from scoreboard.event_queue_sqs import sqs_client
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.redelivery_sqs import SqsRedelivery
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.settings_aws import LiveSecrets, load_settings

SERVICE: Final = "scoreboard-worker"
READ_TIMEOUT_S: Final = 0.6
"""For each read around the transaction, which has a limit of its own."""
INDEX_TIMEOUT_S: Final = 0.4
"""With its one retry, and the read before it, less than the time that a batch keeps back for the index: a part that
hangs must not get a function killed after its commit, again and again until the message is a dead letter."""
QUEUE_TIMEOUT_S: Final = 0.5


@cache
def settings() -> Settings:
    """Return the settings of this environment, and of what it points to in AWS."""
    return load_settings(checks_tokens=False)


@cache
def secrets() -> LiveSecrets:
    """Return the logins, as they are now."""
    return LiveSecrets(settings(), loaded=True)


@cache
def logger() -> Logger:
    """Return the structured logger; `psycopg.pool` may speak through it too, as it knows why a connection failed."""
    made = Logger(service=SERVICE, level=settings().log_level)
    logging.getLogger("psycopg.pool").handlers = made.handlers
    return made


@cache
def metrics() -> Metrics:
    """Return the metrics, written to the log in CloudWatch's embedded format."""
    made = Metrics(namespace=settings().cloudwatch_namespace, service=SERVICE)
    made.set_default_dimensions(environment=settings().app_env)  # else two environments of one account are one figure
    return made


@cache
def store() -> PostgresScoreStore:
    """Return the truth, on one connection: a function handles one batch at a time."""
    pool = open_pool(secrets().database_url, on_refused=secrets().expire)
    return PostgresScoreStore(pool, timeout_s=READ_TIMEOUT_S)


@cache
def writer() -> RedisRankWriter:
    """Return the index."""
    login = Login(secrets().redis_credentials, on_refused=secrets().expire)
    client = redis_client(settings(), login, timeout_s=INDEX_TIMEOUT_S)
    return RedisRankWriter(client, settings().redis_key_leaderboard)


@cache
def redelivery() -> SqsRedelivery:
    """Return what puts off messages."""
    return _redelivery(settings().sqs_queue_url)


def redelivery_of_environment() -> SqsRedelivery:
    """Return the same while the secrets cannot be read. Raises `ConfigError` where the environment itself is wrong."""
    return _redelivery(Settings.from_env(checks_tokens=False).sqs_queue_url)


def _redelivery(queue_url: str) -> SqsRedelivery:
    return SqsRedelivery(queue_url, lambda: sqs_client(read_timeout_s=QUEUE_TIMEOUT_S))
