"""The metrics that our programs publish, as they say themselves: by running, or by their code."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from functools import cache
from typing import Final

from api.emf import LOGGER, EmbeddedMetrics
from api.metrics import Metrics
from scoreboard.config import Settings
from tests.aws.code import Module, modules

_FUNCTIONS: Final = ("add_metric", "single_metric", "measure", "measure_by")
"""The calls with which functions publish: Powertools' and the operations app's."""


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@cache
def of_api() -> tuple[frozenset[str], frozenset[str]]:
    """Return the (names, dimensions) of the API's metrics, by having it write a line."""
    metrics = Metrics()
    written = EmbeddedMetrics(metrics, Settings.from_env({}, checks_tokens=False))
    metrics.request_seconds.labels("/health").observe(0.01)
    logger, lines = logging.getLogger(LOGGER), _Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        written.write()
    finally:
        logger.setLevel(level)
        logger.removeHandler(lines)
    directive = json.loads(lines.texts[0])["_aws"]["CloudWatchMetrics"][0]
    return frozenset(each["Name"] for each in directive["Metrics"]), frozenset(directive["Dimensions"][0])


@cache
def of_functions(room: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the (names, dimensions) of the metrics that the functions of a room publish."""
    found = [module for module in modules().values() if module.name.split(".")[0] == room]
    names = {name for module in found for name in _names(module)}
    dimensions = {"service"} | {name for module in found for name in _dimensions(module)}
    return frozenset(names), frozenset(dimensions)


def _names(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or _called(node) not in _FUNCTIONS:
            continue
        named = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
        for value in [*node.args, *named]:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value
            elif isinstance(value, ast.Name):
                yield from _keys(module)  # the names are those of a mapping
        if _called(node) == "measure":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def _keys(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value


def _dimensions(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _called(node) == "set_default_dimensions":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]
