"""Control: health for load balancers, metrics for Prometheus, the description of the API for programs."""

from __future__ import annotations

from quart import Blueprint, Response, jsonify

from api.metrics import CONTENT_TYPE
from api.openapi import document
from api.services import Phase, services

blueprint = Blueprint("control", __name__)


@blueprint.get("/health")
async def get_health() -> Response:
    """Say how the process and its parts are: 200 as long as it lives, as a restart would not help its parts."""
    parts = services()
    answers = await parts.health.parts()
    status = "ok" if all(answer == "up" for answer in answers.values()) else "degraded"
    if parts.lifecycle.phase is Phase.DRAINING:
        status = "draining"
    response = jsonify({"status": status, **answers, "version": parts.settings.app_version})
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/health/ready")
async def get_ready() -> Response:
    """Say whether to send requests here."""
    phase = services().lifecycle.phase
    response = jsonify({"status": phase.value})
    response.status_code = 200 if phase is Phase.READY else 503
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/metrics")
async def get_metrics() -> Response:
    """Show the metrics of this process."""
    parts = services()
    parts.metrics.queue_waiting.set(parts.backends.waiting())
    return Response(parts.metrics.text(), content_type=CONTENT_TYPE)


@blueprint.get("/openapi.json")
async def get_openapi() -> Response:
    """Describe the API."""
    return jsonify(document(services().settings))
