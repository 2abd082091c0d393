"""`scoreboard status`: what runs, where, and where its log is."""

from __future__ import annotations

import json

from ops.home import PARTS, Home
from ops.state import current
from ops.terminal import Exit, coloured, say


def run(*, as_json: bool) -> Exit:
    """Print the state; 1 when no stack runs."""
    state = current(Home.from_env())
    if as_json:
        say(json.dumps(state, indent=2))
    elif not state["running"]:
        say(f"No stack runs on {state['home']}. Start one: make run")
    else:
        for name in PARTS:
            part = state[name]
            alive = part["pid"] or not part.get("embedded", True)
            mark = coloured("up  ", "green") if alive else coloured("down", "red")
            pids = " ".join(str(pid) for pid in part.get("pids") or [part["pid"]] if pid) or "-"
            say(f"{mark} {name:9} {part['address']}  pid {pids}  {part['log'] or 'not embedded'}")
        say(f"data {state['data'] or 'in a PostgreSQL of your own'}")
    return Exit.OK if state["running"] else Exit.FAILED
