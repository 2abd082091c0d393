"""`scoreboard local` as a newcomer, a tester and a careless operator see it."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.home import CLONE, is_free
from ops.listening import reachable
from ops.processes import birth_of, lives
from tests.support.stack import LocalStack, local_stack, open_folder, until


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with open_folder() as folder, local_stack(folder / "home") as running:
        yield running


@pytest.fixture
def home() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder / "home"


def test_it_says_ready_once_with_the_url_a_curl_and_where_logs_are(stack: LocalStack) -> None:
    lines = stack.printed().splitlines()

    assert [line for line in lines if line.startswith("Ready: ")] == [f"Ready: http://localhost:{stack.port}"]
    assert any("curl -X POST" in line and "/api/scores" in line for line in lines)
    assert f"Logs: {stack.home / 'logs'}" in lines


def test_the_printed_curl_submits_a_score_as_it_stands(stack: LocalStack) -> None:
    line = next(line for line in stack.printed().splitlines() if "curl -X POST" in line)
    program = re.search(r"\$\((?:SCOREBOARD_HOME=\S+ )?(\S+) token", line)
    assert program
    # The clone's program may not be made where the tests run in an environment of their own.
    command = line.replace(program[1], f"{sys.executable} -m ops")

    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=stack.environ, cwd=CLONE, check=True
    )

    assert '"status":"queued"' in done.stdout.replace(" ", "")
    until(lambda: stack.score_of("you") == 42)


def test_status_gives_process_address_and_log_of_every_part(stack: LocalStack) -> None:
    state = stack.status()

    assert state["running"] is True
    for name in ("api", "worker", "postgres", "redis", "queue"):
        assert lives(state[name]["pid"])
        assert Path(state[name]["log"]).exists()
        assert "://" in state[name]["address"]
    assert len(state["worker"]["pids"]) >= 2
    assert state["worker"]["pid"] in state["worker"]["pids"]


def test_a_token_is_the_only_thing_printed_and_signs_its_user_in(stack: LocalStack) -> None:
    printed = stack.run("token", "--user", "ada", "--ttl", "60").stdout

    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", printed)
    assert stack.post_score("ada", 5)["status"] == "queued"


def test_a_score_submitted_by_the_command_counts_once_however_often_it_is_sent(stack: LocalStack) -> None:
    for _ in range(3):
        stack.run("submit", "--user", "grace", "--delta", "9", "--key", "same", "--wait")

    assert stack.score_of("grace") == 9


def test_a_score_for_a_board_of_another_kind_is_refused_with_the_right_field(stack: LocalStack) -> None:
    done = stack.run("submit", "--user", "grace", "--score", "9", check=False)

    assert done.returncode == 1
    assert "delta" in done.stderr


def test_a_score_is_submitted_to_a_board_that_keeps_the_best(stack: LocalStack) -> None:
    with psycopg.connect(stack.status()["postgres"]["address"]) as connection:
        connection.execute(
            "INSERT INTO boards (board_id, operator, sort_order, min_change, max_change, min_score, max_score, "
            "writers, display_limit) VALUES ('race', 'best', 'desc', 1, 1000, 0, 1000, 'player', 10)"
        )
    best = ("submit", "--user", "ada", "--board", "race", "--wait", "--score")

    # A board is known within seconds.
    until(lambda: stack.run(*best, "70", check=False).returncode == 0)

    assert '"score": 70' in stack.run(*best, "50").stdout


def test_watch_prints_a_frame_for_programs(stack: LocalStack) -> None:
    assert '"board": "global"' in stack.run("watch", "--json", "--count", "1").stdout


def test_a_small_load_is_counted_exactly(stack: LocalStack) -> None:
    done = stack.run("load", "--players", "20", "--events", "300", "--json")

    assert '"ok": true' in done.stdout


def test_rebuild_and_migrate_say_what_they_did(stack: LocalStack) -> None:
    assert "global is complete" in stack.run("rebuild", "--board", "global").stdout
    assert "up to date" in stack.run("migrate").stdout


def test_a_second_stack_on_the_same_home_is_refused_in_one_sentence(stack: LocalStack) -> None:
    done = stack.run("local", check=False)

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "runs already" in done.stderr


def test_a_second_stack_beside_it_is_a_world_of_its_own(stack: LocalStack, home: Path) -> None:
    with local_stack(home) as other:
        other.run("submit", "--user", "margaret", "--delta", "3", "--wait")

        assert other.score_of("margaret") == 3
        assert stack.score_of("margaret") == 0


@pytest.mark.parametrize("part", ["postgres", "redis", "queue", "worker", "api"])
def test_a_part_that_is_killed_comes_back_and_scores_count_again(stack: LocalStack, part: str) -> None:
    victim = stack.status()[part]["pid"]
    os.kill(victim, signal.SIGKILL)

    until(lambda: stack.status()[part]["pid"] not in (None, victim))
    until(lambda: stack.get("/health/ready"))
    before = stack.score_of("ken")
    until(lambda: stack.post_score("ken", 1))
    until(lambda: stack.score_of("ken") > before)


def test_a_killed_handler_process_is_replaced(stack: LocalStack) -> None:
    poller, *handlers = stack.status()["worker"]["pids"]
    os.kill(handlers[0], signal.SIGKILL)

    until(lambda: len(set(stack.status()["worker"]["pids"]) - {handlers[0]}) == 1 + len(handlers))
    assert stack.status()["worker"]["pid"] == poller


def test_an_api_that_drains_is_started_again(stack: LocalStack) -> None:
    api = stack.status()["api"]["pid"]
    os.kill(api, signal.SIGTERM)

    until(lambda: not lives(api))
    until(lambda: stack.get("/health/ready"))
    assert "api ended (code 0)" in stack.printed()


def test_ctrl_c_stops_every_process_and_what_was_counted_is_there_again(home: Path) -> None:
    stack = LocalStack(home).start()
    stack.run("submit", "--user", "ada", "--delta", "7", "--wait")
    births = {pid: birth_of(pid) for pid in [*stack.pids(), stack.pid]}

    assert stack.stop(signal.SIGINT) == 0
    assert not [pid for pid, birth in births.items() if lives(pid, birth)]
    assert stack.run("status", check=False).returncode == 1

    stack.start()
    try:
        assert stack.score_of("ada") == 7
    finally:
        assert stack.stop(signal.SIGTERM) == 0


def test_messages_that_wait_in_the_queue_survive_a_stop(home: Path) -> None:
    stack = LocalStack(home).start()
    os.kill(stack.status()["worker"]["pid"], signal.SIGSTOP)
    for pid in stack.status()["worker"]["pids"]:
        os.kill(pid, signal.SIGSTOP)
    stack.post_score("ada", 11)

    assert stack.stop() == 0
    stack.start()
    try:
        until(lambda: stack.score_of("ada") == 11)
    finally:
        stack.stop()


def test_a_queue_that_is_killed_still_delivers_what_was_accepted(stack: LocalStack) -> None:
    before = stack.score_of("linus")
    workers = stack.status()["worker"]["pids"]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    for _ in range(5):
        stack.post_score("linus", 2)
    queue = stack.status()["queue"]["pid"]

    os.kill(queue, signal.SIGKILL)

    until(lambda: stack.status()["queue"]["pid"] not in (None, queue))
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    until(lambda: stack.score_of("linus") == before + 10)


def test_a_killed_supervisor_leaves_nothing_behind_and_the_next_start_works(home: Path) -> None:
    stack = LocalStack(home).start()
    births = {pid: birth_of(pid) for pid in stack.pids()}
    stack.stop(signal.SIGKILL)

    stack.start()
    try:
        assert not [pid for pid, birth in births.items() if lives(pid, birth)]
    finally:
        stack.stop()


def test_a_home_that_others_may_not_enter_stays_closed_and_the_data_lies_outside(home: Path) -> None:
    home.mkdir()
    home.chmod(0o700)
    outside = home.parent / "state"
    stack = LocalStack(home, {"SCOREBOARD_STATE_DIR": str(outside)}).start()
    stack.run("submit", "--user", "ada", "--delta", "7", "--wait")
    data = Path(stack.status()["data"])
    stack.stop()
    # Only root has to hand PostgreSQL to another user; everyone else keeps the data at home.
    assert (outside if os.geteuid() == 0 else home) in data.parents
    assert stat.S_IMODE(home.stat().st_mode) == 0o700

    stack.start()
    try:
        assert stack.score_of("ada") == 7
    finally:
        stack.stop()


def test_data_is_moved_when_a_home_is_closed_to_others_later(home: Path) -> None:
    stack = LocalStack(home, {"SCOREBOARD_STATE_DIR": str(home.parent / "state")}).start()
    stack.run("submit", "--user", "ada", "--delta", "7", "--wait")
    stack.stop()
    home.chmod(0o700)

    stack.start()
    try:
        assert stack.score_of("ada") == 7
    finally:
        stack.stop()


def test_stopping_while_it_starts_leaves_no_process(home: Path) -> None:
    stack = LocalStack(home)
    stack.begin()
    until(lambda: (stack.home / "state.json").exists())
    pids = until(stack.pids)

    assert stack.stop(signal.SIGINT) == 0
    assert not [pid for pid in pids if lives(pid)]


def test_a_taken_port_is_a_sentence_and_not_a_trace(home: Path) -> None:
    stack = LocalStack(home)
    with socket.create_server(("127.0.0.1", stack.port)):
        stack.begin()
        assert stack.wait() == 2

    assert f"Port {stack.port} is taken" in stack.printed()
    assert "Traceback" not in stack.printed()


def test_a_stop_ends_parts_that_hang(home: Path) -> None:
    stack = LocalStack(home).start()
    births = {pid: birth_of(pid) for pid in stack.pids()}
    for pid in births:
        os.kill(pid, signal.SIGSTOP)

    assert stack.stop(signal.SIGINT) == 0
    assert not [pid for pid, birth in births.items() if lives(pid, birth)]


def test_a_host_that_is_not_here_is_not_a_taken_port(home: Path) -> None:
    stack = LocalStack(home, {"HOST": "nosuchhost.invalid"})
    stack.begin()

    assert stack.wait() == 2
    assert "nosuchhost.invalid" in stack.printed()
    assert "taken" not in stack.printed()
    assert "Traceback" not in stack.printed()


def test_it_becomes_ready_on_the_address_that_is_set(home: Path) -> None:
    host = "127.0.0.2" if is_free("127.0.0.2", 0) else "::1"  # not every system has all of 127.0.0.0/8
    with local_stack(home, HOST=host) as stack:
        assert f"Ready: http://{reachable(host)}:{stack.port}" in stack.printed()
        stack.run("submit", "--user", "ada", "--delta", "3", "--wait")


def test_wrong_settings_are_listed_together(home: Path) -> None:
    wrong = {
        "RATE_LIMIT_MAX_REQUESTS": "many",
        "SSE_MESSAGE_TIMEOUT": "0",
        "WORKER_CONCURRENCY": "none",
        "DATABASE_URL": "postgresql://localhost:notaport/db",
        "SQS_QUEUE_URL": "http://",
        "API_BASE_PATH": "/static",
    }
    stack = LocalStack(home, wrong)
    stack.begin()

    assert stack.wait() == 2
    assert all(name in stack.printed() for name in wrong)
    assert "Traceback" not in stack.printed()


def test_demo_players_live_on_the_board_by_default(home: Path) -> None:
    with local_stack(home, SCOREBOARD_DEMO="1", RATE_LIMIT_MAX_REQUESTS="10") as stack:
        board = until(lambda: stack.get("/api/leaderboard")["entries"])

        assert all(0 < entry["score"] < 1000 for entry in board)


def test_code_that_changes_replaces_its_part(home: Path) -> None:
    stack = LocalStack(home, arguments=("--reload",)).start()
    try:
        until(lambda: "Watching for changes" in stack.printed())
        touched = CLONE / "workers" / "runtime.py"
        stop = threading.Event()

        def touch() -> None:
            while not stop.wait(0.5):  # a watch that has just begun may miss the first
                touched.touch()

        toucher = threading.Thread(target=touch)
        toucher.start()
        try:
            until(lambda: "worker: its code changed" in stack.printed())
        finally:
            stop.set()
            toucher.join()
        until(lambda: stack.status()["worker"]["pid"])
    finally:
        stack.stop()
