"""`python -m tests.image`, which is `make image-trial`: build the images, run them on real parts, print what was found.

With PYTHON_IMAGE the base is that image, else a stand-in that is made here.
"""

from __future__ import annotations

import argparse
import http.client
import json
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from ops import smoke
from ops.queue_setup import ACCOUNT, QUEUE, ensure_queues
from scoreboard.auth import Keyring, issue_token
from tests.image.builder import (
    STAND_IN,
    TARGETS,
    TrialFailed,
    base_image,
    build,
    build_foreign,
    check_tools,
    configuration,
    fetch_wheels,
    image,
    private_store,
    sh,
    size_mb,
)
from tests.image.containers import Container
from tests.image.context import tree_hash
from tests.support import parts
from tests.support.stack import free_port

CLONE = Path(__file__).resolve().parents[2]
ALIVE_S = 30.0


def main() -> int:
    """Run the trial; gives 0 if everything was as it has to be, 1 if not, 2 if it cannot be run here."""
    argparse.ArgumentParser(prog="python -m tests.image", description=__doc__).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is mounted and what runs has to be put away
    try:
        check_tools()
    except TrialFailed as problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="scoreboard-image-") as folder:
            scratch = Path(folder)
            scratch.chmod(0o755)
            with private_store(scratch):
                _build(scratch)
                _look_inside()
                with _parts() as variables, _containers(variables, scratch) as containers:
                    _use(containers, variables)
    except TrialFailed as problem:
        print(f"FAILED: {problem}", file=sys.stderr)
        return 1
    print("The images are as they have to be.")
    return 0


def say(what: str, value: object) -> None:
    """Print one finding."""
    print(f"  {what:<58} {value}", flush=True)


def expect(what: str, found: object, wanted: object) -> None:
    """Print a finding. Raises `TrialFailed` if it is not what it has to be."""
    say(what, found)
    if found != wanted:
        raise TrialFailed(f"{what}: {found!r}, not {wanted!r}")


def _build(scratch: Path) -> None:
    print("Building")
    began = time.monotonic()
    base = base_image(scratch)
    say("base image", f"{base}{' (stand-in)' if base == STAND_IN else ''}, {time.monotonic() - began:.1f} s")
    for target, seconds in build(base, fetch_wheels(scratch / "here")).items():
        added = size_mb(image(target)) - size_mb(base)
        say(f"target {target}", f"{seconds:.1f} s, {added:.0f} MB on top of the base's {size_mb(base):.0f} MB")
    began = time.monotonic()
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[platform.machine()]
    foreign = build_foreign(base, fetch_wheels(scratch / "foreign", other))
    say(f"target api, for {other}", f"{time.monotonic() - began:.1f} s")
    with _opened(foreign) as root:
        machines = {int.from_bytes(path.read_bytes()[18:20], "little") for path in (root / "app").rglob("*.so")}
        expect("its machine code is for (number of ELF)", machines, {{"aarch64": 183, "x86_64": 62}[other]})


@contextmanager
def _opened(reference: str) -> Iterator[Path]:
    """The files of an image."""
    container = sh(["buildah", "from", reference]).strip()
    try:
        yield Path(sh(["buildah", "mount", container]).strip())
    finally:
        sh(["buildah", "umount", container])
        sh(["buildah", "rm", container])


def _look_inside() -> None:
    print("Inside")
    for target in TARGETS:
        says = configuration(target)
        expect(f"{target}: user", says["User"], "10001:10001")
    label = configuration("api")["Labels"]["org.opencontainers.image.version"]
    expect("api: label org.opencontainers.image.version", label, "trial")
    with _opened(image("api")) as root:
        same = tree_hash(root / "app/scoreboard") == tree_hash(CLONE / "scoreboard")
        expect("api: its scoreboard is the clone's", same, True)
        rooms = sorted(path.name for path in (root / "app").iterdir())
        expect("api: holds", rooms, ["api", "lib", "scoreboard"])
    with _opened(image("queue")) as root:
        expect("queue: /data belongs to", (root / "data").stat().st_uid, 10001)


@contextmanager
def _parts() -> Iterator[dict[str, str]]:
    """A real PostgreSQL, empty, and a real Valkey; gives the variables that lead there."""
    with parts.postgres_server() as postgres, parts.redis_server() as valkey:
        port = free_port()
        yield {
            "APP_ENV": "staging",
            "JWT_SECRET": parts.SECRET,
            "HOST": "127.0.0.1",
            "PORT": str(free_port()),
            "CORS_ORIGIN": "https://scoreboard.example",
            "DATABASE_URL": postgres.empty_database(),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(valkey.port),
            "SQS_QUEUE_URL": f"http://127.0.0.1:{port}/{ACCOUNT}/{QUEUE}",
            "AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{port}",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def _containers(variables: dict[str, str], scratch: Path) -> Iterator[dict[str, Container]]:
    """The containers of queue, migrations, worker and API, made but not started."""
    queue = {
        "GATEWAY_PORT": variables["AWS_ENDPOINT_URL_SQS"].rpartition(":")[2],
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "sqs",
        "TMPDIR": "/data",
        "HOME": "/data",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    with ExitStack() as stack:

        def container(name: str, target: str, environ: dict[str, str], **options: Any) -> Container:
            made = Container(target, environ, scratch / name, **options)
            stack.callback(made.remove)
            return made

        yield {
            "queue": container("queue", "queue", queue, data=True),
            "migrate": container("migrate", "local", variables, command=["python", "-m", "ops", "migrate"]),
            "worker": container("worker", "local", variables),
            "api": container("api", "api", variables),
        }


def _use(containers: dict[str, Container], variables: dict[str, str]) -> None:
    print("In use: PostgreSQL and Valkey of this machine; queue, migrations, worker and API in containers")
    queue, migrations, worker, api = (containers[name] for name in ("queue", "migrate", "worker", "api"))
    queue.start()
    _until("the queue serves", queue, lambda: ensure_queues(variables["AWS_ENDPOINT_URL_SQS"]))
    migrations.start()
    expect("migrations: exit code", migrations.wait(), 0)
    worker.start()
    api.start()
    say("api: healthy by its HEALTHCHECK after", f"{api.wait_until_healthy():.1f} s")
    _look_at_process(api)
    port = int(variables["PORT"])
    expect("api: `make smoke` finds it", smoke.main([f"http://127.0.0.1:{port}"]), 0)
    with _stream(port) as stream:
        _score(port)
        seen = _read_until(stream, b'"trial"')
        say("api: score on the stream, through queue and worker, after", f"{seen:.2f} s")
        began = time.monotonic()
        api.send(signal.SIGTERM)
        rest = stream.read()
        expect("api: the stream ends in order, with a pause to come back", b"retry:" in rest, True)
        expect("api: exit code after SIGTERM, with a stream open", api.wait(), 0)
        say("api: drained after", f"{time.monotonic() - began:.2f} s")
    counted = psycopg.connect(variables["DATABASE_URL"]).execute("SELECT count(*) FROM score_events").fetchone()
    expect("events in PostgreSQL", counted, (1,))
    expect("worker: exit code after SIGTERM", worker.stop(), 0)


def _look_at_process(api: Container) -> None:
    status = api.status()
    expect("api: user of the first process", status["Uid"].split()[0], str(api.user))
    expect("api: its capabilities", int(status["CapEff"], 16), 0)
    expect("api: the number that it has in its container", status["NSpid"].split()[-1], "1")
    expect("api: its root is mounted read-only", api.root_is_read_only(), True)
    attempt = "import errno, sys\ntry:\n open(sys.argv[1], 'w')\nexcept OSError as e:\n sys.exit(e.errno)"
    for folder in ("app/api", "tmp", "."):
        code = api.execute(["python", "-c", attempt, f"/{folder}/x"])
        expect(f"api: writing into {folder} of its root is refused (EROFS or EACCES)", code in (30, 13), True)


def _until(what: str, container: Container, works: Callable[[], None]) -> None:
    began = time.monotonic()
    while True:
        try:
            works()
        except (OSError, http.client.HTTPException) as problem:
            if not container.runs() or time.monotonic() - began > ALIVE_S:
                raise TrialFailed(f"{what}: {problem}\n{container.printed()[-3000:]}") from problem
            time.sleep(0.05)
        else:
            say(what, f"after {time.monotonic() - began:.1f} s")
            return


@contextmanager
def _stream(port: int) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ALIVE_S)
    connection.request("GET", "/api/leaderboard/stream", headers={"Accept": "text/event-stream"})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def _score(port: int) -> None:
    keyring = Keyring.of(parts.SECRET, "", issuer="scoreboard", audience="scoreboard-api")
    token = issue_token(keyring, user_id="trial", ttl_s=600)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/scores", json.dumps({"delta": 42}), headers)
    expect("api: POST /api/scores", connection.getresponse().status, 202)
    connection.close()


def _read_until(stream: http.client.HTTPResponse, wanted: bytes) -> float:
    began = time.monotonic()
    while line := stream.readline():
        if wanted in line:
            return time.monotonic() - began
    raise TrialFailed("the stream ended before the score came")


if __name__ == "__main__":
    sys.exit(main())
