"""What the local stack decides before it starts anything."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ops import demo
from ops.environment import Plan, embedded_parts, local_defaults, with_embedded
from ops.home import CLONE, Home, is_free
from ops.http_client import Address
from ops.listening import reachable, try_listening, why_not
from ops.parts import Check, Part
from ops.poller_settings import PollerSettings
from ops.processes import birth_of, end, lives
from ops.state import describe, stack_settings
from ops.supervisor import Keeper, bound
from ops.terminal import OpsError, WrongUse
from scoreboard.config import Settings
from scoreboard.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_every_part_is_embedded_unless_a_variable_names_another() -> None:
    assert embedded_parts({}) == ("postgres", "redis", "queue")
    assert embedded_parts({"DATABASE_URL": "postgresql://db/x", "SQS_QUEUE_URL": "https://sqs/q"}) == ("redis",)
    assert embedded_parts({"REDIS_HOST": ""}) == ("postgres", "redis", "queue")


def test_what_the_user_sets_wins_and_unknown_variables_pass_through() -> None:
    environ = local_defaults({"JWT_SECRET": "mine", "SSE_MAX_CLIENTS_PER_ADDRESS": "3", "ANYTHING": "x"}, "other")

    assert environ["JWT_SECRET"] == "mine"
    assert environ["SSE_MAX_CLIENTS_PER_ADDRESS"] == "3"
    assert environ["ANYTHING"] == "x"
    assert local_defaults({}, "other")["JWT_SECRET"] == "other"


def test_the_defaults_are_settings_that_every_part_accepts() -> None:
    environ = with_embedded(local_defaults({}, "s" * 40), {"postgres": 1, "redis": 2, "queue": 3})

    settings = Settings.from_env(environ)

    assert settings.sse_max_clients_per_address == 100_000
    assert settings.redis_port == 2
    assert settings.database_url.endswith(":1/scoreboard")
    assert PollerSettings.from_env(environ) == PollerSettings()


def test_credentials_of_a_real_account_do_not_reach_an_embedded_queue() -> None:
    given = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "AWS_ACCESS_KEY_ID": "real", "REDIS_PASSWORD": "p"}

    environ = with_embedded(given, {"queue": 1, "redis": 2})

    assert environ["AWS_ACCESS_KEY_ID"] == "local"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "REDIS_PASSWORD"} & environ.keys()


def test_addresses_are_urls_to_connect_to() -> None:
    ports = {"postgres": 1, "redis": 2, "queue": 3}
    plan = Plan(with_embedded({"REDIS_DB": "4"}, ports), ports, 3000)

    described = describe(plan, {})

    assert described["api"]["address"] == "http://localhost:3000"
    assert described["postgres"]["address"] == "postgresql://scoreboard@127.0.0.1:1/scoreboard"
    assert described["redis"]["url"] == "redis://127.0.0.1:2/4"
    assert described["queue"]["address"] == "http://127.0.0.1:3/000000000000/scoreboard-scores"
    assert described["queue"]["dlq"].endswith("-dlq")


def test_a_redis_of_ones_own_keeps_its_password_and_tls() -> None:
    environ = {"REDIS_HOST": "cache", "REDIS_PASSWORD": "a b", "REDIS_TLS_ENABLED": "true"}

    assert Plan(environ, {}, 3000).address("redis") == "rediss://:a%20b@cache:6379/0"


def test_wrong_worker_settings_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        PollerSettings.from_env({"WORKER_BATCH_SIZE": "0", "WORKER_CONCURRENCY": "two"})

    assert len(caught.value.problems) == 2


def test_a_home_is_held_by_one_and_free_again_after_it(home: Home) -> None:
    with home.locked():
        assert home.is_locked()
        with pytest.raises(WrongUse, match="runs already"), home.locked():
            pass
    assert not home.is_locked()


def test_ports_are_remembered_while_they_are_free(home: Home) -> None:
    first = home.ports(("postgres", "redis"))
    assert home.ports(("postgres", "redis")) == first

    with socket.create_server(("127.0.0.1", first["redis"])):
        assert not is_free("127.0.0.1", first["redis"])
        second = home.ports(("postgres", "redis"))
    assert second["postgres"] == first["postgres"]
    assert second["redis"] != first["redis"]


def test_why_a_server_cannot_listen_is_told_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "is taken" in _refusal("127.0.0.1", port)
    assert "no address of this machine" in _refusal("192.0.2.1", port)
    assert "not known here" in _refusal("nosuchhost.invalid", port)
    assert "may not listen on port 80" in why_not("127.0.0.1", 80, PermissionError(13, "Permission denied"))
    assert "out of luck" in why_not("127.0.0.1", 80, OSError(99999, "out of luck"))


def _refusal(host: str, port: int) -> str:
    try:
        try_listening(host, port)
    except OSError as problem:
        return why_not(host, port, problem)
    raise AssertionError(f"one can listen on {host}:{port}")


@pytest.mark.parametrize(
    ("host", "program", "person"),
    [
        ("127.0.0.1", "127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1", "localhost"),  # noqa: S104 - not listened on
        ("::", "[::1]", "localhost"),
        ("::1", "[::1]", "[::1]"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("box.internal", "box.internal", "box.internal"),
    ],
)
def test_the_api_is_reached_where_it_listens(host: str, program: str, person: str) -> None:
    plan = Plan({"HOST": host}, {}, 3000)

    assert reachable(host) == program
    assert plan.api_url == f"http://{program}:3000"
    assert plan.page_url == plan.address("api") == f"http://{person}:3000"
    assert Address.of(plan.api_url).authority == f"{program}:3000"


def test_a_url_with_a_port_that_is_none_is_a_sentence() -> None:
    with pytest.raises(WrongUse, match="port"):
        Address.of("http://localhost:x")


def test_a_part_whose_readiness_fails_unexpectedly_is_asked_again(tmp_path: Path) -> None:
    questions = iter([ValueError("unforeseen"), OSError("away")])

    async def is_ready() -> bool:
        for problem in questions:
            raise problem
        return True

    asyncio.run(_keep(is_ready, tmp_path))


def test_what_kept_a_part_from_being_ready_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.supervisor._READY_WITHIN_S", 1.0)

    async def is_ready() -> bool:
        raise ValueError("the answer is nonsense")

    with pytest.raises(OpsError, match="ValueError: the answer is nonsense"):
        asyncio.run(_keep(is_ready, tmp_path))


async def _keep(is_ready: Check, folder: Path) -> None:
    """Start a part, wait until it is ready, and end it."""
    part = Part(name="sleeper", command=("/bin/sleep", "60"), environ={}, is_ready=is_ready)
    keeper = Keeper(part, folder / "log", lambda: None)
    keeper.start()
    try:
        await keeper.ready()
    finally:
        await keeper.stop()


def test_the_secret_is_made_once_and_private(home: Home) -> None:
    assert home.secret() == home.secret()
    assert len(home.secret()) >= 32
    assert stat.S_IMODE((home.path / "jwt-secret").stat().st_mode) == 0o600


def test_the_state_is_private_and_replaced_in_one_step(home: Home) -> None:
    home.write_state({"parts": {}})

    assert home.read_state() == {"parts": {}}
    assert stat.S_IMODE(home.state_file.stat().st_mode) == 0o600
    assert sorted(path.name for path in home.path.iterdir()) == ["logs", "state.json"]


def test_verbs_without_a_stack_say_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET", raising=False)

    with pytest.raises(OpsError, match="make run"):
        stack_settings(home)


def test_verbs_use_the_last_stacks_settings_under_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_state({"environ": {"JWT_SECRET": "of the stack", "PORT": "4001"}})
    monkeypatch.setenv("JWT_SECRET", "of the shell")

    settings = stack_settings(home)

    assert settings.jwt_secret == "of the shell"
    assert settings.port == 4001


def test_only_the_very_process_is_ended(tmp_path: Path) -> None:
    process = subprocess.Popen(["/bin/sleep", "60"])
    birth = birth_of(process.pid)

    assert not end(process.pid, "another birth")
    assert lives(process.pid, birth)
    assert end(process.pid, birth, patience_s=5)
    process.wait()
    assert not lives(process.pid, birth)


def test_a_guarded_program_ends_with_its_parent(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.fail("the kernel of this system cannot tie a process to its parent; see ops/guard.py")
    starter = (
        "import os, subprocess, sys, time\n"
        f"guard = [sys.executable, '-I', '-S', {str(CLONE / 'ops' / 'guard.py')!r}, 'SIGKILL', '-', str(os.getpid())]\n"
        "child = subprocess.Popen([*guard, '/bin/sleep', '60'])\n"
        "while b'sleep' not in open(f'/proc/{child.pid}/cmdline', 'rb').read(): time.sleep(0.01)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=False)
    pid = int(done.stdout)

    deadline = 100
    while lives(pid) and deadline:
        deadline -= 1
        os.sched_yield()
        subprocess.run(["/bin/sleep", "0.05"], check=True)
    assert not lives(pid)


def test_demo_players_rest_below_the_ceiling() -> None:
    chance = random.Random(3)
    score = 0
    while delta := demo.next_delta(score, chance):
        score += delta

    assert score == demo.CEILING - 1


def test_the_help_names_every_verb() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops", "--help"], capture_output=True, text=True, check=True, cwd=CLONE
    )

    for verb in ("local", "status", "token", "submit", "watch", "load", "migrate", "rebuild"):
        assert f"\n    {verb} " in done.stdout


def test_status_without_a_stack_is_still_json_and_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops", "status", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=CLONE,
        env={**os.environ, "SCOREBOARD_HOME": str(tmp_path)},
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["running"] is False


def test_a_log_that_has_become_long_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 3_000_000)
        writer.flush()
        bound(log)
        writer.write(b"new\n")

    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "part.log.1").stat().st_size == 12_000_000
