from typing import Any

from scoreboard.config import Settings


def document(settings: Settings) -> dict[str, Any]:
    return {}
