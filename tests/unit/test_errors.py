"""The tree of errors: stable codes, messages a client can act on, and a drawing that is true."""

from __future__ import annotations

import pytest

from scoreboard import errors
from scoreboard.errors import ConfigError, RateLimited, ScoreboardError, Unavailable


def _tree(kind: type[ScoreboardError]) -> list[type[ScoreboardError]]:
    below = [each for each in kind.__subclasses__() if each.__module__ == "scoreboard.errors"]
    return [kind, *(each for child in below for each in _tree(child))]


TREE = _tree(ScoreboardError)


def _drawing() -> dict[str, tuple[int, str]]:
    """Name -> (depth, what stands behind it) as the module draws them."""
    drawn: dict[str, tuple[int, str]] = {}
    for line in (errors.__doc__ or "").splitlines():
        bare = line.lstrip(" │├└─")
        words = bare.split()
        if line.startswith("    ") and words:
            drawn[words[0]] = (line.index(bare) // 4 - 1, " ".join(words[1:]))
    return drawn


def test_the_drawing_names_every_class_in_order_and_at_its_depth() -> None:
    depth = {kind.__name__: len(kind.__mro__) - len(ScoreboardError.__mro__) for kind in TREE}
    assert {name: where for name, (where, _) in _drawing().items()} == depth
    assert list(_drawing()) == [kind.__name__ for kind in TREE]


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind not in (ScoreboardError, ConfigError)])
def test_the_drawing_gives_every_status(kind: type[ScoreboardError]) -> None:
    assert _drawing()[kind.__name__][1].split()[0] == str(kind.status)


@pytest.mark.parametrize("kind", TREE)
def test_what_is_drawn_as_retryable_is(kind: type[ScoreboardError]) -> None:
    assert kind.retryable == issubclass(kind, RateLimited | Unavailable)
    if kind in (RateLimited, Unavailable):
        assert _drawing()[kind.__name__][1].endswith("retryable")


def test_every_class_has_a_code_of_its_own() -> None:
    assert all("code" in vars(kind) for kind in TREE)
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes)
    assert all(code == code.upper() and " " not in code for code in codes)


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not ConfigError])
def test_every_class_says_what_is_wrong_in_its_docstring(kind: type[ScoreboardError]) -> None:
    assert "__doc__" in vars(kind)
    message = kind().message
    assert message == kind.__doc__
    assert message.endswith((".", ">", "}.")), message
    assert str(kind()) == message


def test_a_message_of_its_own_replaces_the_docstring() -> None:
    error = Unavailable("away", retry_after_s=3)
    assert (error.message, str(error), error.retry_after_s) == ("away", "away", 3)


def test_a_client_is_told_of_no_status_but_of_clients_and_services() -> None:
    assert {kind.status for kind in TREE} == {400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503}


def test_settings_that_cannot_work_list_everything() -> None:
    error = ConfigError(["A is wrong", "B is missing"])
    assert error.problems == ("A is wrong", "B is missing")
    assert "  - A is wrong\n  - B is missing" in str(error)
