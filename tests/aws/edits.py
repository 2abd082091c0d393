"""Small changes of a document, by the path of what changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_STEP: Final = re.compile(r"\[([^\]]+)\]|([^/\[\]]+)")
_NAMES: Final = ("Sid", "Name", "Key", "Id", "PolicyName", "HeaderName", "PathPattern", "Description")
"""What the items of lists are told apart by."""


class Gone:
    """In place of a value: there is to be none."""


GONE: Final = Gone()


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one place: `Resources/Queue/Properties/Tags[Name]`; an item of a list is named, or numbered."""

    file: str
    path: str
    to: Any = GONE
    """The value that it gets; without one it is taken away."""
    plus: Any = None
    """What is added to the list that is there."""
    minus: Any = None
    """What is taken out of the list, or is its item's part of the text, that is there."""

    def apply(self, document: Any) -> None:
        """Change a document. Raises `LookupError` if the place, or what is to be taken away, is not there."""
        *before, last = [named or step for named, step in _STEP.findall(self.path)]
        holder = document
        for step in before:
            holder = holder[_place(holder, step)]
        place = _place(holder, last, new=self.to is not GONE)
        if self.plus is not None:
            holder[place].append(self.plus)
        elif self.minus is not None:
            holder[place].remove(self.minus)
        elif self.to is GONE:
            del holder[place]
        else:
            holder[place] = self.to


def _place(holder: Any, step: str, *, new: bool = False) -> Any:
    if isinstance(holder, dict):
        if step not in holder and not new:
            raise LookupError(f"there is no {step} among {', '.join(map(str, holder))}")
        return step
    assert isinstance(holder, list), f"{step} is asked of {holder!r}"
    if step.isdecimal():
        return int(step)
    for number, item in enumerate(holder):
        if isinstance(item, dict) and step in (item.get(name) for name in _NAMES):
            return number
    raise LookupError(f"no item is called {step}")
