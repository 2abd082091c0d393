"""The order of a rehearsal: from an empty account to the first live score, and on to an empty account."""

from __future__ import annotations

import contextlib

from tests.rehearsal import deploying, failing, maintaining, scoring, updating
from tests.rehearsal.report import Report
from tests.rehearsal.tasks import Tasks
from tests.rehearsal.world import World


def perform(world: World, report: Report) -> None:
    """Do all steps, the first that fails ends it.

    Raises:
        StepFailed: A step failed.
    """
    deploying.build(world, report)
    deploying.deploy(world, report)
    deploying.check_database(world, report)
    deploying.check_cache(world, report)
    tasks = Tasks(world)
    with contextlib.closing(tasks):
        deploying.start_tasks(tasks, report)
        scoring.score_once(tasks, report)
        scoring.refuse(world, report)
        maintaining.rotate_signing_keys(tasks, report)
        maintaining.rotate_cache_password(tasks, report)
        updating.run_hooks(tasks, report)
    updating.fail_smoke_test(world, report)
    failing.lose_the_service(world, report)
    failing.repair_the_index(world, report)
    failing.poison_the_queue(world, report)
    failing.fail_for_good(world, report)
    failing.forget_old_events(world, report)
    updating.fail_a_migration(world, report)
    updating.update_in_place(world, report)
    updating.delete(world, report)
