"""The command `scoreboard`. Each verb is imported only when it is called, so that all start quickly."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ops.home import CLONE
from ops.terminal import Exit, OpsError, complain
from scoreboard.errors import ConfigError, ScoreboardError

Verb = Callable[[argparse.Namespace], int]
KINDS = ("malformed", "unknown_board", "rule_broken", "applicable")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; gives 0 for done, 1 for failed, 2 for wrong use or wrong settings."""
    given = _parser().parse_args(arguments)
    verb: Verb = given.verb
    read_env_file()
    try:
        return int(verb(given))
    except ConfigError as problem:
        complain("The settings are wrong:")
        for line in problem.problems:
            complain(f"  - {line}")
        return Exit.WRONG_USE
    except OpsError as problem:
        complain(str(problem))
        return problem.exit_code
    except ScoreboardError as problem:
        complain(f"{type(problem).__name__}: {problem}")
        return Exit.FAILED
    except BrokenPipeError:
        # The reader of our output has gone. Nothing may be written any more, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except KeyboardInterrupt:
        return 130


def read_env_file() -> None:
    """Take what the environment does not say from `.env` of the clone, unless this is a production environment.

    `SCOREBOARD_ENV_FILE` names another file.
    """
    path = Path(os.environ.get("SCOREBOARD_ENV_FILE") or CLONE / ".env")
    if path.is_file() and os.environ.get("APP_ENV", "development") in ("development", "test"):
        from dotenv import load_dotenv

        load_dotenv(path)


def _local(given: argparse.Namespace) -> int:
    from ops.local import run

    return run(reload=given.reload)


def _status(given: argparse.Namespace) -> int:
    from ops.status import run

    return run(as_json=given.json)


def _token(given: argparse.Namespace) -> int:
    from ops.tokens import run

    return run(user_id=given.user, role=given.role, ttl_s=given.ttl)


def _submit(given: argparse.Namespace) -> int:
    from ops.submit import run

    return run(given)


def _watch(given: argparse.Namespace) -> int:
    from ops.watch import run

    return run(given)


def _load(given: argparse.Namespace) -> int:
    from ops.load import run

    return run(given)


def _migrate(given: argparse.Namespace) -> int:
    from ops.maintenance import run_migrate

    return run_migrate(phase=given.phase)


def _rebuild(given: argparse.Namespace) -> int:
    from ops.maintenance import run_rebuild

    return run_rebuild(board_id=given.board)


def _redrive(given: argparse.Namespace) -> int:
    from ops.redrive import run

    return run(kinds=given.kind, limit=given.limit, dry_run=given.dry_run, as_json=given.json)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scoreboard",
        description="A leaderboard that is live. Run it on this machine, try it, load it, look after it.",
        epilog="The stack that a verb speaks to is the one of SCOREBOARD_HOME (default: .scoreboard in the clone). "
        "Exit codes: 0 done, 1 failed, 2 wrong use or wrong settings.",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_stack_verbs(verbs)
    _add_client_verbs(verbs)
    _add_maintenance_verbs(verbs)
    return parser


_Verbs = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(verbs: _Verbs, name: str, verb: Verb, about: str) -> argparse.ArgumentParser:  # type: ignore[valid-type]
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=about, description=about)  # type: ignore[attr-defined]
    parser.set_defaults(verb=verb)
    return parser


def _add_stack_verbs(verbs: _Verbs) -> None:  # type: ignore[valid-type]
    local = _add(verbs, "local", _local, "Run the whole system on this machine until Ctrl-C.")
    local.add_argument("--reload", action="store_true", help="restart a part when its code or the page changes")
    status = _add(verbs, "status", _status, "Show what runs, where, and where the logs are; 1 if nothing runs.")
    status.add_argument("--json", action="store_true", help="for programs")
    token = _add(verbs, "token", _token, "Print a token that signs a user in.")
    token.add_argument("--user", required=True, help="whom the token speaks for")
    token.add_argument("--role", choices=("player", "server"), default="player", help="a server may score for anyone")
    token.add_argument("--ttl", type=_positive, metavar="SECONDS", help="its life (default: JWT_EXPIRY)")


def _add_client_verbs(verbs: _Verbs) -> None:  # type: ignore[valid-type]
    submit = _add(verbs, "submit", _submit, "Submit one score.")
    submit.add_argument("--user", required=True, help="who scores")
    amount = submit.add_mutually_exclusive_group(required=True)
    amount.add_argument("--delta", type=int, help="by how much, on a board that adds up (global does)")
    amount.add_argument("--score", type=int, help="the score itself, on a board that keeps the best or the last one")
    submit.add_argument("--board", default="global", help="on which board (default: global)")
    submit.add_argument("--key", help="idempotency key: sending it again changes nothing")
    submit.add_argument("--wait", action="store_true", help="wait until the score counts, and show it")
    submit.add_argument("--url", help="of the API (default: the local stack's)")
    watch = _add(verbs, "watch", _watch, "Watch a board live in the terminal.")
    watch.add_argument("--board", default="global", help="which board (default: global)")
    watch.add_argument("--limit", type=_positive, default=10, help="how many lines (default: 10)")
    watch.add_argument("--count", type=_positive, help="stop after so many frames")
    watch.add_argument("--json", action="store_true", help="one JSON text a frame, for programs")
    watch.add_argument("--url", help="of the API (default: the local stack's)")
    _add_load(verbs)


def _add_load(verbs: _Verbs) -> None:  # type: ignore[valid-type]
    load = _add(
        verbs, "load", _load, "Send many scores, some twice, then check that exactly what was accepted is on the board."
    )
    load.add_argument("--players", type=_positive, default=500, help="fresh users (default: 500)")
    load.add_argument("--events", type=_positive, default=20_000, help="distinct scores (default: 20000)")
    load.add_argument("--duplicates", type=_share, default=0.25, help="share sent again (default: 0.25)")
    load.add_argument("--submitters", type=_positive, default=4, help="senders side by side (default: 4)")
    load.add_argument("--concurrency", type=_positive, default=16, help="requests in flight of each (default: 16)")
    load.add_argument("--rate", type=_not_negative, default=0.0, help="scores a second, 0: as fast as possible")
    load.add_argument("--duration", type=_not_negative, default=0.0, help="stop sending new ones after seconds")
    load.add_argument("--seed", type=int, help="repeat a run's order and amounts")
    load.add_argument("--json", action="store_true", help="print the result as JSON")
    load.add_argument("--url", help="of the API; then only the API is asked for the check")


def _add_maintenance_verbs(verbs: _Verbs) -> None:  # type: ignore[valid-type]
    migrate = _add(verbs, "migrate", _migrate, "Bring the database's schema up to date.")
    migrate.add_argument("--phase", choices=("pre", "post", "all"), default="all", help="before or after a rollout")
    rebuild = _add(verbs, "rebuild", _rebuild, "Build a board's ranking in Redis anew from PostgreSQL.")
    rebuild.add_argument("--board", default="global", help="which board (default: global)")
    redrive = _add(verbs, "redrive", _redrive, "Send dead letters whose cause is gone back to the score queue.")
    redrive.add_argument(
        "--kind", action="append", choices=KINDS, help="which, may be given again (default: applicable)"
    )
    redrive.add_argument("--limit", type=_positive, default=100, help="how many at most (default: 100)")
    redrive.add_argument("--dry-run", action="store_true", help="only say what there is and what would go back")
    redrive.add_argument("--json", action="store_true", help="print the result as JSON")
