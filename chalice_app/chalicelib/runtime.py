"""Cold start of a function: names the backends; what is made is kept across invocations."""

from __future__ import annotations

import logging
import secrets as random_secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import redis
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from chalicelib.board_cache import BoardCache
from chalicelib.edge import Edge, completed
from scoreboard.alert_memory_redis import RedisAlertMemory
from scoreboard.application_role_postgres import ensure_application_role
from scoreboard.config import Settings
from scoreboard.connections_postgres import open_pool
from scoreboard.connections_redis import Login, redis_client
from scoreboard.dead_letters_sqs import SqsDeadLetters
from scoreboard.errors import ConfigError
from scoreboard.event_queue_sqs import BlockingEventQueue, sqs_client
from scoreboard.history_postgres import PostgresHistory
from scoreboard.migrations import Phase, migrate
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.settings_aws import LiveSecrets, load_settings
from scoreboard.submission_gate_redis import BlockingSubmissionGate, GateRules

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_elasticache import ElastiCacheClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient

SERVICE: Final = "scoreboard-operations"
EDGE_READ_S: Final = 2.0
"""For each question to PostgreSQL of a submission, of which there are two at most."""
EDGE_REDIS_S: Final = 0.8
SETTINGS_RETRY_S: Final = 5.0
LOOK_READ_S: Final = 5.0
"""A little more than SQS holds a long poll."""


@cache
def settings() -> Settings:
    """Return the settings of this environment, and of what it points to in AWS.

    After a failure they are not read again for a while: an answer asks twice, and while Secrets Manager hangs each
    attempt takes most of the time that API Gateway waits.
    """
    failed = _failed()
    if failed and time.monotonic() < failed[-1].until:
        raise ConfigError(failed[-1].problems)
    try:
        read = load_settings(checks_tokens=False)
    except ConfigError as error:
        failed[:] = [_Failure(error.problems, time.monotonic() + SETTINGS_RETRY_S)]
        raise
    logger().setLevel(read.log_level)
    return read


@dataclass(frozen=True, slots=True)
class _Failure:
    problems: tuple[str, ...]
    until: float


@cache
def _failed() -> list[_Failure]:
    """Return the last failure to read the settings, if there was one."""
    return []


@cache
def secrets() -> LiveSecrets:
    """Return logins and signing keys, as they are now."""
    return LiveSecrets(settings(), loaded=True)


@cache
def logger() -> Logger:
    """Return the structured logger, which is needed to say that there are no settings.

    `psycopg.pool` may speak through it too, as it knows why a connection failed.
    """
    made = Logger(service=SERVICE)
    logging.getLogger("psycopg.pool").handlers = made.handlers
    return made


@cache
def metrics() -> Metrics:
    """Return the metrics, written to the log in CloudWatch's embedded format."""
    made = Metrics(namespace=settings().cloudwatch_namespace, service=SERVICE)
    made.set_default_dimensions(environment=settings().app_env)
    return made


def measure(**figures: int) -> None:
    """Write figures of one invocation."""
    for name, value in figures.items():
        metrics().add_metric(name=name, unit=MetricUnit.Count, value=value)
    metrics().flush_metrics()


def measure_by(dimension: str, name: str, figures: Mapping[str, int]) -> None:
    """Write one figure with a value of a dimension each."""
    for key, value in figures.items():
        with single_metric(
            name=name,
            unit=MetricUnit.Count,
            value=value,
            namespace=settings().cloudwatch_namespace,
            default_dimensions={"service": SERVICE, "environment": settings().app_env},
        ) as metric:
            metric.add_dimension(name=dimension, value=key)


# The stores


@cache
def _pool() -> Any:
    return open_pool(secrets().database_url, on_refused=secrets().expire)


@cache
def _redis(timeout_s: float) -> redis.Redis:
    login = Login(secrets().redis_credentials, on_refused=secrets().expire)
    return redis_client(settings(), login, timeout_s=timeout_s)


@cache
def store() -> PostgresScoreStore:
    """Return the truth."""
    return PostgresScoreStore(_pool())


@cache
def history() -> PostgresHistory:
    """Return what the truth keeps of events."""
    return PostgresHistory(_pool())


@cache
def writer() -> RedisRankWriter:
    """Return the index."""
    return RedisRankWriter(_redis(5.0), settings().redis_key_leaderboard)


@cache
def holder() -> str:
    """Return the name by which this process holds a lock."""
    return f"operations:{random_secrets.token_hex(6)}"


# The submission edge


@cache
def edge() -> Edge:
    """Return what takes submissions; its waits are short, as API Gateway's is 29 seconds."""
    client = _redis(EDGE_REDIS_S)
    truth = PostgresScoreStore(_pool(), timeout_s=EDGE_READ_S)
    queue = BlockingEventQueue(settings().sqs_queue_url, sqs_client())
    return Edge(
        settings=settings(),
        keyring=secrets().keyring,
        boards=BoardCache(truth.boards),
        gate=BlockingSubmissionGate(client, GateRules.of(settings())),
        queue=queue,
        events=PostgresHistory(_pool(), timeout_s=EDGE_READ_S),
        pings={"db": truth.ping, "redis": lambda: bool(client.ping()), "queue": lambda: completed(queue.ping())},
        logger=logger(),
    )


# Dead letters


@cache
def dead_letters(score_queue_url: str | None = None) -> SqsDeadLetters:
    """Return the queue of dead letters; who redrives names the queue that they go to."""
    return SqsDeadLetters(
        settings().sqs_dead_letter_queue_url, score_queue_url, lambda: sqs_client(read_timeout_s=LOOK_READ_S)
    )


@cache
def alert_memory() -> RedisAlertMemory:
    """Return which dead letters somebody was told of."""
    return RedisAlertMemory(_redis(5.0), settings().redis_key_leaderboard)


def alert(subject: str, text: str) -> None:
    """Tell the people on call."""
    sns: SNSClient = _client("sns")
    sns.publish(TopicArn=settings().alerts_topic_arn, Subject=subject, Message=text)


# Schema


PHASES: Final[tuple[str, ...]] = get_args(Phase)


def bring_schema_up_to_date(phase: str) -> dict[str, Any]:
    """Migrate as the owner of the tables, then make or update the application's role.

    The secrets are read anew: what a warm function remembers may be from before a rotation. It could not log in, or
    would give the role its old password back.
    """
    now = LiveSecrets(settings(), attempts=3)
    owner = now.owner_database_url() if settings().database_owner_secret_arn else settings().database_url
    applied = migrate(owner, cast("Phase", phase))
    return {"phase": phase, "applied": applied, "role": ensure_application_role(owner, now.database_url())}


# AWS


@cache
def _client(service: str) -> Any:
    import boto3  # half a second that only those who need it pay
    from botocore.config import Config

    config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
    return boto3.client(service, config=config)  # type: ignore[call-overload]


def secrets_manager() -> SecretsManagerClient:
    """Return Secrets Manager."""
    return cast("SecretsManagerClient", _client("secretsmanager"))


def elasticache() -> ElastiCacheClient:
    """Return ElastiCache."""
    return cast("ElastiCacheClient", _client("elasticache"))


def ecs() -> ECSClient:
    """Return ECS."""
    return cast("ECSClient", _client("ecs"))


def redis_answers(username: str, password: str) -> bool:
    """Whether Redis lets a user in with a password. Raises what the driver raises when it does not."""
    login = Login(lambda: (username, password), on_refused=lambda: None)
    with redis_client(settings(), login, timeout_s=3.0) as client:
        return bool(client.ping())
