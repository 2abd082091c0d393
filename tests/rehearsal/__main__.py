"""`python -m tests.rehearsal`: deploy the whole system into an AWS emulator on this machine, use it, delete it.

Nothing leaves the machine, no account is needed and no Docker. What the emulator cannot do is listed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ops.home import CLONE
from ops.listening import try_listening
from ops.terminal import Exit, OpsError, WrongUse
from tests.rehearsal import script
from tests.rehearsal.cloud import cloud, emulator_python
from tests.rehearsal.report import Report, StepFailed
from tests.rehearsal.sam import BUCKET, TOOLS, Sam, architecture, configured
from tests.rehearsal.started import left_over
from tests.rehearsal.stores import stores
from tests.rehearsal.world import World

LIMITS = CLONE / "tests" / "rehearsal" / "limits.toml"
TASK_PORT = 3000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Rehearse; 0 if all steps passed, 1 if one failed, 2 if the machine is not ready for it."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, for scripts")
    parser.add_argument("--keep", action="store_true", help="keep logs and data also when all steps pass")
    given = parser.parse_args()
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    report = Report(as_json=given.json)
    folder = Path(tempfile.mkdtemp(prefix="scoreboard-rehearsal-"))
    folder.chmod(0o755)  # PostgreSQL's user has to enter it
    code, problem = Exit.OK, None
    mark = secrets.token_hex(8)
    try:
        with _world(folder, mark) as world:
            script.perform(world, report)
    except OpsError as error:
        code, problem = error.exit_code, str(error)
    except StepFailed as error:
        code, problem = Exit.FAILED, str(error)
    except KeyboardInterrupt:
        code, problem = Exit.FAILED, "interrupted"
    except Exception as error:
        # Of a client of the deployed system, which has many kinds; where it happened is of use too.
        (folder / "traceback.txt").write_text(traceback.format_exc())
        code, problem = Exit.FAILED, f"{type(error).__name__}: {error}"
    if left := left_over(mark):
        code, problem = Exit.FAILED, f"{problem or 'all steps passed'}; but left running: {'; '.join(left)}"
    keep = bool(problem or given.keep)
    report.finish(tomllib.loads(LIMITS.read_text()), problem, str(folder) if keep else None)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return code


@contextlib.contextmanager
def _world(folder: Path, mark: str) -> Iterator[World]:
    """The parts of a rehearsal, running."""
    (folder / "logs").mkdir()
    if not (TOOLS / "sam").exists():
        raise WrongUse(f"{TOOLS / 'sam'} is missing: run `make rehearse`, which makes the virtual environments.")
    network = _network()
    region, stack_name, parameters = configured()
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(stores(folder, mark))
        redis = f"{kept.redis_port}:{kept.redis_admin_password}"
        up = stack.enter_context(
            cloud(folder, mark, region=region, stack_name=stack_name, network=network, redis=redis)
        )
        up.client("s3").create_bucket(Bucket=BUCKET)
        given = {
            "LocalDatabaseHost": "127.0.0.1",
            "LocalDatabasePort": str(kept.postgres_port),
            "LocalRedisHost": "127.0.0.1",
            "LocalRedisPort": str(kept.redis_port),
            "Architecture": architecture(),
            "FunctionRuntime": f"python{emulator_python()}",
        }
        yield World(folder, mark, kept, up, Sam(up, folder, mark, {**parameters, **given}))


def _network() -> str:
    """The beginning of loopback addresses for the tasks, which all listen on the same port."""
    network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}."
    try:
        try_listening(f"{network}1", TASK_PORT)
    except OSError as problem:
        raise WrongUse(
            f"Tasks listen on port {TASK_PORT} of addresses such as {network}1, which cannot be had here: {problem}. "
            "Linux has them all; end what listens on that port of every address."
        ) from problem
    return network


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # what was started is being ended already
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.chdir(CLONE)
    sys.exit(main())
