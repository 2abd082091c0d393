"""The rotation functions: four steps, each of which may come twice, on moto's Secrets Manager and a real Valkey."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import redis
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.secretsmanager import secretsmanager_backends

from chalicelib.cache_password import CachePassword
from chalicelib.rotation import RotationError
from scoreboard.auth import Keyring, issue_token, verify_token
from scoreboard.config import Settings
from scoreboard.errors import InvalidToken
from scoreboard.settings_aws import LiveSecrets, load_settings
from tests.support import parts
from tests.support.operations import invoked, operations_on

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
KEY = "the first key of a new stack, as CloudFormation generates it"


class Rotation:
    """One secret that Secrets Manager rotates by a function."""

    def __init__(self, function: str, value: dict[str, str]) -> None:
        self.client = boto3.client("secretsmanager")
        self.arn = self.client.create_secret(Name=str(uuid.uuid4()), SecretString=json.dumps(value))["ARN"]
        self._kept: Any = secretsmanager_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].secrets[self.arn]
        self._function = function
        self.token = ""

    def begin(self) -> None:
        """Begin a rotation as Secrets Manager does: a pending version without a value. moto would skip the steps."""
        self.token = str(uuid.uuid4())
        self._kept.rotation_requested = self._kept.rotation_enabled = True
        self._kept.versions[self.token] = {
            "createdate": int(time.time()), "version_id": self.token, "version_stages": ["AWSPENDING"],
        }  # fmt: skip

    def step(self, name: str) -> None:
        """Have the function do one step."""
        invoked(self._function, {"Step": name, "SecretId": self.arn, "ClientRequestToken": self.token})
        # moto's own read without a stage stays with the version of before.
        (self._kept.default_version_id,) = (
            version for version, kept in self._kept.versions.items() if "AWSCURRENT" in kept["version_stages"]
        )

    def rotate(self) -> None:
        """Do all steps, each twice, as a call that timed out is made again."""
        self.begin()
        for name in STEPS:
            self.step(name)
            self.step(name)

    def current(self) -> dict[str, str]:
        """The secret as everybody reads it."""
        value: dict[str, str] = json.loads(self.client.get_secret_value(SecretId=self.arn)["SecretString"])
        return value

    def pending(self) -> dict[str, str]:
        """The secret that is to be."""
        answer = self.client.get_secret_value(SecretId=self.arn, VersionId=self.token, VersionStage="AWSPENDING")
        value: dict[str, str] = json.loads(answer["SecretString"])
        return value


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, redis_settings: Settings) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(), operations_on(monkeypatch, redis_settings):
        yield


# Signing keys


@pytest.fixture
def keys(aws: None) -> Rotation:
    return Rotation("rotate_jwt", {"current": KEY, "previous": "", "next": ""})


def _ring(fields: dict[str, str]) -> Keyring:
    return Keyring.of(
        fields["current"], fields["previous"], fields["next"], issuer="scoreboard", audience="scoreboard-api"
    )


def test_the_first_rotation_only_adds_a_next_key(keys: Rotation) -> None:
    keys.rotate()
    assert (keys.current()["current"], keys.current()["previous"]) == (KEY, "")
    assert len(keys.current()["next"]) >= 64


def test_each_rotation_moves_every_key_one_place_on(keys: Rotation) -> None:
    keys.rotate()
    for _ in range(3):
        before = keys.current()
        keys.rotate()
        after = keys.current()
        assert (after["previous"], after["current"]) == (before["current"], before["next"])
        assert after["next"] not in before.values()


def test_tokens_of_before_and_of_after_a_rotation_are_accepted_before_and_after_it(keys: Rotation) -> None:
    keys.rotate()
    before = _ring(keys.current())
    keys.rotate()
    after = _ring(keys.current())
    for signs in (before, after):
        token = issue_token(signs, user_id="ada", ttl_s=60)
        assert {verify_token(accepts, token).user_id for accepts in (before, after)} == {"ada"}
    keys.rotate()
    keys.rotate()
    with pytest.raises(InvalidToken):
        verify_token(_ring(keys.current()), issue_token(before, user_id="ada", ttl_s=60))


def test_what_is_pending_is_not_read_by_anybody(keys: Rotation) -> None:
    keys.begin()
    keys.step("createSecret")
    keys.step("testSecret")
    assert keys.current() == {"current": KEY, "previous": "", "next": ""}
    first = keys.pending()
    keys.step("createSecret")
    assert keys.pending() == first


@pytest.mark.parametrize(
    ("pending", "problem"),
    [
        ({"current": "a key that nobody was told of before it signs", "previous": KEY, "next": ""}, "have the current"),
        ({"current": KEY, "previous": "", "next": "short"}, "too short"),
        ({"current": "", "previous": KEY, "next": ""}, "no current key"),
    ],
)
def test_a_pending_keyring_that_would_log_people_out_is_refused(
    keys: Rotation, pending: dict[str, str], problem: str
) -> None:
    keys.begin()
    keys.client.put_secret_value(
        SecretId=keys.arn,
        ClientRequestToken=keys.token,
        SecretString=json.dumps(pending),
        VersionStages=["AWSPENDING"],
    )
    with pytest.raises(RotationError, match=problem) as caught:
        keys.step("testSecret")
    assert KEY not in str(caught.value)


def test_a_process_that_lives_follows_the_rotations(keys: Rotation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET")
    clock = iter(range(0, 10_000, 400))
    settings = load_settings({"APP_ENV": "test", "JWT_SECRET_ARN": keys.arn})
    live = LiveSecrets(settings, loaded=True, clock=lambda: float(next(clock)))
    token = issue_token(live.keyring(), user_id="ada", ttl_s=60)
    keys.rotate()
    keys.rotate()
    assert verify_token(live.keyring(), token).user_id == "ada"
    assert live.keyring().secrets[0] == keys.current()["current"] != KEY


def test_requests_that_do_not_fit_are_refused(keys: Rotation) -> None:
    with pytest.raises(RotationError, match="not to be rotated"):
        keys.step("createSecret")
    keys.begin()
    right = keys.token
    keys.token = str(uuid.uuid4())
    with pytest.raises(RotationError, match="no such version"):
        keys.step("createSecret")
    keys.token = right
    with pytest.raises(RotationError, match="no step 'renewSecret'"):
        keys.step("renewSecret")
    for wrong in ("no JSON", json.dumps({"current": KEY, "previous": None})):  # not to be written on as "None"
        keys.client.put_secret_value(SecretId=keys.arn, SecretString=wrong)
        with pytest.raises(RotationError, match="not a JSON object of texts"):
            keys.step("createSecret")


# The password of Redis


class Cache:
    """ElastiCache's users, whose passwords are those of a Valkey; a change takes effect when it is asked for again."""

    def __init__(self, port: int) -> None:
        self._admin = redis.Redis(port=port, decode_responses=True)
        self._due: list[str] = []
        self.changes = 0

    def set(self, *passwords: str) -> None:
        """Make the user have these passwords and no others."""
        self._admin.execute_command(
            "ACL", "SETUSER", "app", "reset", "on", "~*", "+ping", *(f">{password}" for password in passwords)
        )

    def modify_user(self, *, UserId: str, Passwords: list[str]) -> None:  # noqa: N803 - the names of AWS
        assert UserId == "app-user"
        assert len(set(Passwords)) == 2
        assert not self._due
        self._due = Passwords
        self.changes += 1

    def describe_users(self, *, UserId: str) -> dict[str, Any]:  # noqa: N803
        assert UserId == "app-user"
        if not self._due:
            return {"Users": [{"Status": "active"}]}
        self.set(*self._due)
        self._due = []
        return {"Users": [{"Status": "modifying"}]}

    def close(self) -> None:
        self._admin.close()


@pytest.fixture
def cache(own_valkey: parts.RedisServer) -> Iterator[Cache]:
    made = Cache(own_valkey.port)
    made.set("first password")
    yield made
    made.close()


@pytest.fixture
def password(
    aws: None, cache: Cache, own_valkey: parts.RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rotation]:
    monkeypatch.setattr("chalicelib.runtime.elasticache", lambda: cache)
    monkeypatch.setattr("chalicelib.cache_password.POLL_S", 0.0)
    with operations_on(monkeypatch, own_valkey.settings()):
        yield Rotation("rotate_redis", {"username": "app", "password": "first password", "user_id": "app-user"})


def _logs_in(port: int, password: str) -> bool:
    with redis.Redis(port=port, username="app", password=password) as client:
        try:
            return bool(client.ping())
        except redis.exceptions.AuthenticationError:
            return False


def test_the_new_password_and_the_one_before_log_in(
    password: Rotation, cache: Cache, own_valkey: parts.RedisServer
) -> None:
    known = ["first password"]
    for _ in range(3):
        password.rotate()
        known.append(password.current()["password"])
        assert [_logs_in(own_valkey.port, each) for each in known[-3:]] == [False, True, True][-len(known[-3:]) :]
    assert len(set(known)) == 4
    assert password.current() == {"username": "app", "password": known[-1], "user_id": "app-user"}


def test_a_password_that_redis_does_not_take_is_not_made_current(password: Rotation, cache: Cache) -> None:
    password.begin()
    password.step("createSecret")
    with pytest.raises(RotationError, match="does not take the pending password") as caught:
        password.step("testSecret")
    assert password.pending()["password"] not in str(caught.value)
    assert password.current()["password"] == "first password"
    password.step("setSecret")
    password.step("testSecret")


def test_a_change_that_is_still_under_way_is_not_waited_for_for_ever() -> None:
    class Slow:
        def describe_users(self, **_: Any) -> dict[str, Any]:
            return {"Users": [{"Status": "modifying"}]}

    slow: Any = Slow()
    recipe = CachePassword(slow, lambda user, password: True, time_left=lambda: False)
    with pytest.raises(RotationError, match="still being changed"):
        recipe.install({"password": "a"}, {"password": "b", "user_id": "app-user"})
    with pytest.raises(RotationError, match="names no user_id"):
        recipe.install({"password": "a"}, {"password": "b"})


def test_nothing_of_a_secret_is_logged(
    password: Rotation, keys: Rotation, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for rotation in (password, keys):
        rotation.rotate()
    printed = capsys.readouterr()
    said = " ".join([printed.out, printed.err, *(str(vars(record)) for record in caplog.records)])
    for rotation in (password, keys):
        for value in rotation.current().values():
            assert value in ("app", "app-user", "") or value not in said
    assert [record.message for record in caplog.records if record.name == "scoreboard-operations"] == ["rotation"] * 16
