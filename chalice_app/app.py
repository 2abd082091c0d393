"""The operations app: what runs on a schedule, at a deployment, by hand, and where the API cannot be reached.

Each handler parses, calls one use case, and tells what became of it. `chalicelib.runtime` names the backends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from chalice.app import Chalice, CloudWatchEvent, Cron, Rate, Response

from chalicelib import custom_resource, edge, runtime
from chalicelib.cache_password import CachePassword
from chalicelib.deployment import DeploymentHook
from chalicelib.edge import Answer, Request
from chalicelib.rotation import Recipe, rotate
from chalicelib.signing_keys import SigningKeys
from scoreboard.dead_letters import Kind, RedriveReport, look, news_of, summary_of
from scoreboard.dead_letters import redrive as redrive_letters
from scoreboard.errors import InvalidField, Unavailable
from scoreboard.reconciliation import Outcome
from scoreboard.reconciliation import reconcile as reconcile_boards
from scoreboard.retention import forget_old

RESERVE_MS: Final = 10_000
"""Kept back at the end of a function to report; nothing long is begun any more."""
LOOK_RESERVE_MS: Final = 25_000
METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
MOST_REDRIVEN: Final = 1_000

app = Chalice(app_name="scoreboard-ops", configure_logs=False, env={})
app.api.binary_types = []


# The submission edge


@app.route("/api/scores", methods=["POST"], content_types=[])
def post_score() -> Response:
    """Accept a score."""
    return _http(lambda request: runtime.edge().post_score(request))


@app.route("/api/scores", methods=["OPTIONS"], content_types=[])
def preflight_score() -> Response:
    """Say which pages may send scores."""
    return _http(lambda _request: edge.preflight(["OPTIONS", "POST"]))


@app.route("/api/scores/{event_id}", methods=["GET"], content_types=[])
def get_score(event_id: str) -> Response:
    """Say what became of a score."""
    return _http(lambda request: runtime.edge().get_score(request, event_id))


@app.route("/api/scores/{event_id}", methods=["OPTIONS"], content_types=[])
def preflight_state(event_id: str) -> Response:
    """Say which pages may ask for scores."""
    return _http(lambda _request: edge.preflight(["GET", "OPTIONS"]))


@app.route("/health", methods=["GET"], content_types=[])
def get_health() -> Response:
    """Say how the parts are."""
    return _http(lambda request: runtime.edge().get_health(request))


@app.route("/", methods=list(METHODS), content_types=[])
@app.route("/{proxy+}", methods=list(METHODS), content_types=[])
def get_status() -> Response:
    """Say that only scores are accepted."""
    return _http(edge.get_status)


def _http(respond: Callable[[Request], Answer]) -> Response:
    current = app.current_request
    assert current is not None  # noqa: S101 - Chalice sets it before it calls a view
    request = edge.request_of(current.to_original_event(), current.raw_body)
    answer = edge.serve(request, lambda: respond(request), runtime.settings, runtime.logger())
    return Response(answer.body, cast("Any", answer.headers), answer.status)


# On a schedule


class Tick(CloudWatchEvent):
    """A call by the schedule, or by hand with any payload; nothing but the context is looked at."""

    def _extract_attributes(self, event_dict: dict[str, Any]) -> None:
        pass


@app.schedule(Rate(5, unit=Rate.MINUTES), name="reconcile", description="Repairs the index from PostgreSQL.")
def reconcile(event: Tick) -> dict[str, Any]:
    """Compare all boards in Redis with PostgreSQL, and repair them."""
    report = reconcile_boards(
        store=runtime.store(),
        writer=runtime.writer(),
        holder=runtime.holder(),
        time_left=_time_left(event.context, RESERVE_MS),
    )
    figures = {
        "standings_repaired": report.repaired,
        "boards_rebuilt": report.count(Outcome.REBUILT),
        "boards_unfinished": report.count(Outcome.UNFINISHED),
    }
    if report.running:
        runtime.measure(**figures)
    outcome = {"running": report.running, "boards": {name: str(each) for name, each in report.boards.items()}}
    runtime.logger().info("reconciled", extra={**outcome, **figures})
    return {**outcome, **figures}


@app.schedule(Cron(17, 3, "*", "*", "?", "*"), name="retention", description="Deletes old events.")
def retention(event: Tick) -> dict[str, Any]:
    """Delete events and rejections that are older than they are kept."""
    report = forget_old(
        runtime.history(),
        older_than_days=runtime.settings().event_retention_days,
        time_left=_time_left(event.context, RESERVE_MS),
    )
    runtime.measure(events_forgotten=report.events, rejections_forgotten=report.rejections)
    outcome = {"events": report.events, "rejections": report.rejections, "done": report.done}
    runtime.logger().info("old events deleted", extra=outcome)
    return outcome


@app.schedule(Rate(5, unit=Rate.MINUTES), name="dlq_triage", description="Reports new dead letters.")
def dlq_triage(event: Tick) -> dict[str, Any]:
    """Look at the dead letters, measure them, and tell the people on call of new ones once."""
    seen = look(runtime.dead_letters(), runtime.store(), time_left=_time_left(event.context, LOOK_RESERVE_MS))
    kinds = {str(kind): count for kind, count in seen.kinds.items()}
    runtime.measure_by("kind", "dead_letters", kinds)
    told = 0
    try:
        memory = runtime.alert_memory()
        news = news_of(seen, memory)
        if news:
            runtime.alert(f"Scoreboard: {len(news)} new dead letters", summary_of(seen, news))
            memory.remember([finding.letter.message_id for finding in news])
            told = len(news)
    except Unavailable as error:
        # Without the memory everybody would be told every five minutes; the alarm of the queue's length is there too.
        runtime.logger().warning("nobody was told of dead letters", extra={"reason": error.message})
    for finding in seen.findings:
        runtime.logger().info(
            "dead letter",
            extra={"kind": str(finding.kind), "reason": finding.reason, "message_id": finding.letter.message_id},
        )
    return {"kinds": kinds, "whole": seen.whole, "told": told}


for _handler in (reconcile, retention, dlq_triage):
    _handler.event_class = Tick


# By hand


@app.lambda_function(name="redrive")
def redrive(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Send dead letters back: `{"kinds": ["applicable"], "limit": 100, "dry_run": false}`."""
    kinds, limit = _kinds_of(event), event.get("limit", 100)
    if type(limit) is not int or not 1 <= limit <= MOST_REDRIVEN:
        raise InvalidField(f"limit must be a whole number from 1 to {MOST_REDRIVEN}.")
    report = redrive_letters(
        runtime.dead_letters(runtime.settings().sqs_queue_url),
        runtime.store(),
        kinds=kinds,
        limit=limit,
        dry_run=bool(event.get("dry_run", False)),
        time_left=_time_left(context, LOOK_RESERVE_MS),
    )
    outcome = _redriven(report)
    runtime.measure(dead_letters_redriven=report.redriven if not event.get("dry_run") else 0)
    runtime.logger().info("dead letters sent back", extra=outcome)
    return outcome


def _kinds_of(event: dict[str, Any]) -> list[Kind]:
    names = event.get("kinds", [Kind.APPLICABLE.value])
    if not isinstance(names, list) or not names or not set(map(str, names)) <= set(Kind):
        raise InvalidField(f"kinds must be a list of some of: {', '.join(Kind)}.")
    return [Kind(name) for name in names]


def _redriven(report: RedriveReport) -> dict[str, Any]:
    return {
        "kinds": {str(kind): count for kind, count in report.kinds.items()},
        "redriven": report.redriven,
        "failed": report.failed,
        "whole": report.whole,
    }


# Secrets


@app.lambda_function(name="rotate_jwt")
def rotate_jwt(event: dict[str, Any], context: Any) -> None:
    """Do one step of a rotation of the signing keys."""
    _rotate(event, SigningKeys(runtime.settings()))


@app.lambda_function(name="rotate_redis")
def rotate_redis(event: dict[str, Any], context: Any) -> None:
    """Do one step of a rotation of the application's password of Redis."""
    time_left = _time_left(context, RESERVE_MS)
    _rotate(event, CachePassword(runtime.elasticache(), runtime.redis_answers, time_left=time_left))


def _rotate(event: dict[str, Any], recipe: Recipe) -> None:
    done = rotate(event, runtime.secrets_manager(), recipe)
    runtime.logger().info("rotation", extra={"step": event["Step"], "secret": event["SecretId"], "done": done})


# Deployments


@app.lambda_function(name="migrate")
def migrate(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Migrate for CloudFormation, or by hand: `{"phase": "pre"}`, `post` or `all`."""
    if custom_resource.is_custom_resource(event):
        seconds_left = context.get_remaining_time_in_millis() / 1000
        answer = custom_resource.answer(event, _migrate_for_stack, seconds_left=seconds_left)
        runtime.logger().info("stack answered", extra={"status": answer["Status"], "reason": answer["Reason"]})
        return answer
    phase = event.get("phase", "all")
    if phase not in runtime.PHASES:
        raise InvalidField(f"phase must be one of: {', '.join(runtime.PHASES)}.")
    return _migrate(phase)


def _migrate_for_stack(request_type: str) -> dict[str, str]:
    try:
        # A new stack has no old code that a later phase would have to wait for.
        outcome = _migrate("all" if request_type == "Create" else "pre")
    except Exception:
        runtime.logger().exception("the schema cannot be brought up to date")
        raise
    return {"Applied": ", ".join(outcome["applied"]) or "nothing", "Role": outcome["role"] or "the owner"}


def _migrate(phase: str) -> dict[str, Any]:
    outcome = runtime.bring_schema_up_to_date(phase)
    runtime.logger().info("migrated", extra={"migration": outcome})
    return outcome


@app.lambda_function(name="deployment_hook")
def deployment_hook(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Migrate before a deployment starts its tasks; try each of them before it gets traffic."""
    return DeploymentHook(runtime.ecs, lambda: runtime.bring_schema_up_to_date("pre"), runtime.logger()).answer(event)


def _time_left(context: Any, reserve_ms: int) -> Callable[[], bool]:
    return lambda: context.get_remaining_time_in_millis() > reserve_ms
