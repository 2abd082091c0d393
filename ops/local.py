"""`scoreboard local`: the whole system on one machine, from one command to one Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from ops import parts
from ops.environment import Plan, embedded_parts, local_defaults, with_embedded
from ops.home import CLONE, Home
from ops.listening import try_listening, why_not
from ops.poller_settings import PollerSettings
from ops.postgres import PostgresPlace, find_place
from ops.processes import birth_of, end
from ops.state import SHARED_VARIABLES, describe
from ops.supervisor import Supervisor
from ops.terminal import Exit, WrongUse, coloured, say
from scoreboard.config import Settings
from scoreboard.errors import ConfigError

# Who may still need whom decides the order: first those who use the others, then the queue, which keeps what the worker
# has not done, then the stores. Few waves, because their patience adds up.
_STOP_ORDER = (("demo", "api", "worker"), ("queue",), ("redis", "postgres"))


def run(*, reload: bool = False) -> Exit:
    """Start everything, stay until asked to stop, stop everything.

    Raises:
        WrongUse: The settings are wrong, the port is taken, or a stack runs on this home already.
        OpsError: A part does not start.
    """
    home = Home.from_env()
    home.prepare()
    base = local_defaults(os.environ, home.secret())
    embedded = embedded_parts(base)
    settings = _check_settings(with_embedded(base, dict.fromkeys(embedded, 1)))
    with home.locked():
        _end_orphans(home)
        try:
            try_listening(settings.host, settings.port)
        except OSError as problem:
            raise WrongUse(why_not(settings.host, settings.port, problem)) from problem
        ports = home.ports(embedded)
        plan = Plan(with_embedded(base, ports), ports, settings.port)
        place = find_place(home) if "postgres" in embedded else None
        return asyncio.run(Stack(home, plan, place, reload=reload).run())


def _check_settings(environ: Mapping[str, str]) -> Settings:
    """The settings, if all parts' are right. Raises `ConfigError` with whatever is wrong in any of them."""
    problems: list[str] = []
    for read in (Settings.from_env, PollerSettings.from_env):
        try:
            read(environ)
        except ConfigError as problem:
            problems.extend(problem.problems)
    if problems:
        raise ConfigError(problems)
    return Settings.from_env(environ)


class Stack:
    """One run of the local stack."""

    def __init__(self, home: Home, plan: Plan, place: PostgresPlace | None, *, reload: bool) -> None:
        self._home = home
        self._plan = plan
        self._place = place
        # As it was read: the variable may hold a parameter that the client library does not know.
        self._database_url = Settings.from_env(plan.environ).database_url
        self._reload = reload
        self._ready = False
        self._began = time.monotonic()
        self._supervisor = Supervisor(home.logs, self._write_state)
        self._me = {"pid": os.getpid(), "birth": birth_of(os.getpid())}

    async def run(self) -> Exit:
        """Start, wait for the wish to stop, stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # raises what kept it from starting
        finally:
            work.cancel()
            stopped.cancel()
            say("Stopping")
            await self._supervisor.stop(*_STOP_ORDER)
            self._write_state(self._supervisor)
        say("Stopped")
        return Exit.OK

    async def _work(self) -> None:
        await self._start_stores()
        await self._migrate()
        self._start_services()
        await self._supervisor.ready("api")
        self._ready = True
        self._write_state(self._supervisor)
        self._welcome()
        await self._supervisor.ready("worker")
        upkeep = [self._supervisor.bound_logs()]
        if self._reload:
            from ops.reload import restart_on_change

            upkeep.append(restart_on_change(self._supervisor))
        await asyncio.gather(*upkeep)

    async def _start_stores(self) -> None:
        say(f"Starting {', '.join(self._plan.ports) or 'with the parts that the environment names'}")
        stores = []
        if "redis" in self._plan.ports:
            stores.append(parts.redis_part(self._home, self._plan))
        if "queue" in self._plan.ports:
            stores.append(parts.queue_part(self._home, self._plan))
        self._supervisor.start(stores)
        if self._place is not None:
            await self._start_postgres(self._place)
        await self._supervisor.ready("postgres", "redis", "queue")

    async def _start_postgres(self, place: PostgresPlace) -> None:
        if self._home.path not in place.data.parents:
            say(f"  postgres keeps its data in {place.data}: its user may not enter {self._home.path}")
        if place.is_new:
            say("  postgres: making a new database (only once)")
            await place.initialise(self._home.logs / "postgres.log")
        self._supervisor.start([parts.postgres_part(place, self._plan)])

    async def _migrate(self) -> None:
        from scoreboard.migrations import migrate

        done = await asyncio.to_thread(migrate, self._database_url, "all")
        if done:
            say(f"  migrations: {', '.join(done)}")

    def _start_services(self) -> None:
        say("Starting api, worker")
        services = [parts.api_part(self._plan), parts.worker_part(self._home, self._plan)]
        if self._plan.environ.get("SCOREBOARD_DEMO", "1") != "0":
            services.append(parts.demo_part(self._plan))
        self._supervisor.start(services)

    def _write_state(self, supervisor: Supervisor) -> None:
        state: dict[str, Any] = {
            "supervisor": self._me,
            "ready": self._ready,
            "port": self._plan.api_port,
            "parts": describe(self._plan, supervisor.report()),
            "data": str(self._place.data) if self._place else None,
            "environ": {name: value for name, value in self._plan.environ.items() if name in SHARED_VARIABLES},
        }
        self._home.write_state(state)

    def _welcome(self) -> None:
        url = self._plan.page_url
        base = self._plan.environ.get("API_BASE_PATH", "/api")
        command = _relative(".venv/bin/scoreboard")
        home = f"SCOREBOARD_HOME={self._home.path} " if os.environ.get("SCOREBOARD_HOME") else ""
        say(f"Ready: {url}")
        say(coloured(f"(after {time.monotonic() - self._began:.1f} s; Ctrl-C stops everything)", "dim"))
        say("Submit a score:")
        say(
            f'  curl -X POST {url}{base}/scores -H "Authorization: Bearer $({home}{command} token --user you)" '
            """-H "Content-Type: application/json" -d '{"delta": 42}'"""
        )
        say(f"Logs: {self._home.logs}")


def _relative(command: str) -> str:
    return command if CLONE.cwd() == CLONE else str(CLONE / command)


def _end_orphans(home: Home) -> None:
    """End what an earlier supervisor left behind when it was killed; its lock is ours, so it is gone."""
    for name, part in home.read_state().get("parts", {}).items():
        pid, birth = part.get("pid"), part.get("birth")
        how = signal.Signals[part.get("stop", "SIGTERM")]
        if isinstance(pid, int) and birth and end(pid, birth, how=how):
            say(f"  ended {name} of an earlier start")
