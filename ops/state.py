"""What a running stack tells other programs, and what the verbs read back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ops.environment import Plan
from ops.home import PARTS, Home
from ops.processes import lives
from ops.terminal import OpsError
from scoreboard.config import Settings
from scoreboard.settings_aws import load_settings

SHARED_VARIABLES = frozenset(setting.name.upper() for setting in fields(Settings)) | {
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}


def describe(plan: Plan, report: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The parts as status shows them: process, address, log."""
    described: dict[str, dict[str, Any]] = {}
    for name in (*PARTS, *(name for name in report if name not in PARTS)):
        part = dict(report.get(name, {"pid": None, "log": None}))
        if name in PARTS:
            address = plan.address("queue" if name == "worker" else name)
            part |= {"address": address, "url": address}
        if name in ("postgres", "redis", "queue"):
            part["embedded"] = name in plan.ports
        if name == "queue" and plan.queue:
            part |= {"endpoint": plan.queue.endpoint, "dlq": plan.queue.dead_letters}
        described[name] = part
    return described


def current(home: Home) -> dict[str, Any]:
    """The state as it is now: processes that have ended are left out."""
    state = home.read_state()
    supervisor = state.get("supervisor", {})
    running = bool(supervisor) and lives(supervisor["pid"], supervisor["birth"])
    parts: dict[str, dict[str, Any]] = {}
    for name in PARTS:
        part = dict(state.get("parts", {}).get(name, {"pid": None, "address": None, "url": None, "log": None}))
        birth = part.pop("birth", None)
        part.pop("stop", None)
        if not (running and part["pid"] and lives(part["pid"], birth)):
            part["pid"] = None
        parts[name] = part
    parts["worker"]["pids"] = home.worker_pids(parts["worker"]["pid"])
    return {
        "running": running,
        "ready": running and bool(state.get("ready")),
        "home": str(home.path),
        "data": state.get("data"),
        **parts,
    }


def stack_environ(home: Home | None = None) -> dict[str, str]:
    """The settings of the running or last stack, under what the environment says now."""
    known = (home or Home.from_env()).read_state().get("environ", {})
    return {**known, **{name: value for name, value in os.environ.items() if value}}


def stack_settings(home: Home | None = None) -> Settings:
    """The settings that a verb works with.

    Raises:
        OpsError: No stack has run here and the environment does not say enough.
    """
    environ = stack_environ(home)
    if not (environ.get("JWT_SECRET") or environ.get("JWT_SECRET_ARN")):
        raise OpsError("No stack has run here: start one with `make run`, or set JWT_SECRET (and SCOREBOARD_HOME).")
    return load_settings(environ)
