"""`make dev`: a part whose code has changed is replaced."""

from __future__ import annotations

from ops.home import CLONE
from ops.supervisor import Supervisor
from ops.terminal import say

_USES = {
    "scoreboard": ("api", "worker"),
    "api": ("api",),
    "workers": ("worker",),
    "ops": ("worker", "demo"),
}


async def restart_on_change(supervisor: Supervisor) -> None:
    """Watch code and page, and replace the parts that use what changed. Ends only with its task."""
    from watchfiles import DefaultFilter, awatch

    say("Watching for changes")
    rooms = [CLONE / room for room in _USES if (CLONE / room).is_dir()]
    async for changes in awatch(*rooms, watch_filter=DefaultFilter()):
        changed = {CLONE.joinpath(path).relative_to(CLONE).parts[0] for _, path in changes}
        for name in dict.fromkeys(part for room in sorted(changed) for part in _USES[room]):
            if name in supervisor.keepers:
                say(f"  {name}: its code changed")
                supervisor.keepers[name].replace()
