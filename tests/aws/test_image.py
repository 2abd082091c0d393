"""What the Dockerfile, .dockerignore and compose.yaml promise; `make image-trial` builds and runs them."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import parts
from ops.environment import Plan, with_embedded
from ops.home import Home
from ops.poller_settings import PollerSettings
from ops.queue_setup import ACCOUNT, QUEUE
from scoreboard.config import Settings
from tests.image.context import is_seen, seen_files
from tests.image.dockerfile import context_copies, lineage, listed, stages

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
FINAL = ("api", "local", "queue")
BOTO3 = {
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_EC2_METADATA_DISABLED",
}
FINALLY = pytest.mark.parametrize("target", FINAL)


def instructions(target: str, keyword: str) -> list[str]:
    """Those of a stage and of all that it begins from."""
    return [rest for stage in lineage(target) for rest in stage.all(keyword)]


def base_image() -> str:
    (argument,) = stages()[""].all("ARG")
    name, _, image = argument.partition("=")
    assert name == "PYTHON_IMAGE"
    return image


# The Dockerfile


def test_the_last_stage_is_the_api() -> None:
    assert list(stages())[-1] == "api"


@FINALLY
def test_it_runs_as_a_user_without_rights_and_stays_one(target: str) -> None:
    assert instructions(target, "USER") == ["10001:10001"]


@FINALLY
def test_what_ships_is_only_copied_so_that_another_processors_image_needs_no_emulator(target: str) -> None:
    assert instructions(target, "RUN") == []
    assert lineage(target)[0].base == "${PYTHON_IMAGE}"
    assert {stage.platform for stage in lineage(target)} == {""}


def test_what_is_run_to_build_is_run_on_the_builders_platform() -> None:
    building = [stage for stage in stages().values() if stage.all("RUN")]
    assert building
    for stage in building:
        assert lineage(stage.name)[0].platform == "$BUILDPLATFORM", stage.name


def test_nothing_is_fetched_but_wheels_that_the_locks_know() -> None:
    runs = [run for stage in stages().values() for run in stage.all("RUN")]
    installs = [run for run in runs if "pip install" in run]

    assert [stage.name for stage in stages().values() if stage.all("ADD")] == []
    assert not re.search(r"\b(curl|wget|apt|apt-get|git|npm)\b", " ".join(runs))
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes --only-binary :all:" in install
        assert re.findall(r" -r (\S+)", install) in (["/locks/requirements.txt"], ["/locks/queue.txt"])


def test_no_wheel_depends_on_the_processor_of_the_builder() -> None:
    # pip reads such a marker for the machine it runs on, which may not be the image's.
    assert "platform_machine" not in (ROOT / "requirements.txt").read_text()


def test_the_base_is_pinned_to_a_version_and_has_the_python_of_the_functions() -> None:
    (install,) = (run for run in stages()["wheels"].all("RUN"))
    template = (ROOT / "template.yaml").read_text()
    runtime = re.search(r"FunctionRuntime:.*?Default: python([\d.]+)", template, re.DOTALL)

    match = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+", base_image())
    assert match
    assert runtime
    assert re.findall(r"--python-version (\S+)", install) == [match[1]] == [runtime[1]]


def test_no_image_names_a_registry() -> None:
    images = [base_image(), *(service["image"] for service in SERVICES.values() if "image" in service)]
    for image in images:
        first, slash, _ = image.partition("/")
        assert not slash or not re.search(r"[.:]", first), image
        assert re.search(r":\d+\.\d+[\w.]*-\w", image), f"{image} is not pinned"


@FINALLY
def test_python_is_the_first_process_and_gets_the_signals(target: str) -> None:
    words = listed(lineage(target)[-1].all("CMD")[-1])

    assert words[0] == "python"
    if words[1] == "-m":
        assert importlib.util.find_spec(words[2]), words[2]
    else:
        assert (ROOT / words[1]).is_file()
    assert instructions(target, "ENTRYPOINT") == []


def test_the_health_check_is_ours_and_needs_no_shell() -> None:
    (check,) = instructions("api", "HEALTHCHECK")
    options, _, command = check.partition("CMD ")

    assert listed(command) == ["python", "-m", "api.healthcheck"]
    assert set(re.findall(r"--([a-z-]+)=\S+", options)) == {"interval", "timeout", "start-period", "retries"}


@FINALLY
def test_python_writes_no_file_and_holds_no_line_back(target: str) -> None:
    environ = " ".join(instructions(target, "ENV")).split()

    assert {"PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "PYTHONPATH=/app/lib"} <= set(environ)
    assert not re.search(r"SECRET|PASSWORD|KEY|TOKEN", " ".join([*environ, *instructions(target, "ARG")]))


def test_it_says_what_it_is_and_of_which_commit() -> None:
    (labels,) = instructions("api", "LABEL")
    makefile = (ROOT / "Makefile").read_text()

    names = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert names == {"title", "description", "licenses", "version", "revision", "created"}
    for argument in ("VERSION", "REVISION", "CREATED"):
        assert f'="${argument}"' in labels
        assert f"--build-arg {argument}=" in makefile


# The context


def test_what_is_copied_is_there_and_not_ignored() -> None:
    for copy in context_copies():
        for source in copy.sources:
            assert (ROOT / source).exists(), source
            assert is_seen(source), source


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    copied = {source for copy in context_copies() for source in copy.sources}
    rooms = [path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    tops = {room for room in rooms if any(seen_files(room))}
    tops |= {path.name for path in ROOT.iterdir() if path.is_file() and is_seen(path.name)}

    assert tops == {source.partition("/")[0] for source in copied}
    assert {path.name for path in seen_files("requirements")} == {"queue.txt"}


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        ".scoreboard/secret",
        "tests/conftest.py",
        "requirements/dev.txt",
        "api/.env",
        "scoreboard/__pycache__/config.cpython-313.pyc",
        "scoreboard/sql/migrations/__pycache__/x.pyc",
        "api/web/.DS_Store",
    ],
)
def test_secrets_history_caches_and_tests_get_into_no_build(path: str) -> None:
    assert not is_seen(path)


@pytest.mark.parametrize("path", ["scoreboard/lua/apply.lua", "api/web/index.html", "ops/poller.py"])
def test_code_and_data_of_the_rooms_get_into_it(path: str) -> None:
    assert is_seen(path)


# compose.yaml


def environment(service: str) -> dict[str, str]:
    """The variables of a service, as they are once the user has set JWT_SECRET."""
    given: dict[str, str] = SERVICES[service]["environment"]
    defaults = {name: re.sub(r"\$\{PORT:-(\d+)\}", r"\1", value) for name, value in given.items()}
    return {name: re.sub(r"\$\{JWT_SECRET:\?[^}]+\}", "s" * 32, value) for name, value in defaults.items()}


@pytest.mark.parametrize("service", ["api", "worker", "migrate"])
def test_a_service_sets_only_what_is_read(service: str) -> None:
    settings = {field.name.upper() for field in fields(Settings)}
    poller = {f"WORKER_{field.name.upper()}" for field in fields(PollerSettings)}

    assert set(environment(service)) <= settings | BOTO3 | (poller if service == "worker" else set())


@pytest.mark.parametrize("service", ["api", "worker", "migrate"])
def test_its_settings_are_right_and_lead_to_the_other_services(service: str) -> None:
    settings = Settings.from_env(environment(service))

    assert settings.database_url.startswith("postgresql://scoreboard@postgres:5432/scoreboard")
    assert settings.redis_host == "valkey"
    assert settings.sqs_queue_url == f"http://queue:4566/{ACCOUNT}/{QUEUE}"
    assert environment(service)["AWS_ENDPOINT_URL_SQS"] == "http://queue:4566"
    assert {"postgres", "valkey", "queue"} <= set(SERVICES)


def test_a_secret_has_to_be_given() -> None:
    assert SERVICES["api"]["environment"]["JWT_SECRET"].startswith("${JWT_SECRET:?")


def test_the_queue_has_the_variables_that_it_has_on_one_machine(tmp_path: Path) -> None:
    local = parts.queue_part(Home(tmp_path), Plan(with_embedded({}, {"queue": 1}), {"queue": 1}, 0)).environ

    assert set(SERVICES["queue"]["environment"]) == set(local) - {"PATH"}
    assert SERVICES["queue"]["environment"]["SERVICES"] == local["SERVICES"]


@pytest.mark.parametrize("service", OURS)
def test_our_containers_may_as_little_as_a_task_may(service: str) -> None:
    says = OURS[service]

    assert says["build"]["target"] in FINAL
    assert says["read_only"] is True
    assert says["cap_drop"] == ["ALL"]
    assert says["security_opt"] == ["no-new-privileges:true"]


def test_only_the_api_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    (port,) = published.pop("api")

    assert published == {}
    assert port.startswith("127.0.0.1:")
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if service["networks"] != ["inside"]} == {"api"}


def test_the_api_is_given_the_time_that_it_takes_to_drain() -> None:
    given = int(SERVICES["api"]["stop_grace_period"].removesuffix("s"))
    assert given * 1000 > Settings.from_env(environment("api")).shutdown_grace_period + 5000


def test_migrations_run_before_the_api_and_the_worker() -> None:
    for service in ("api", "worker"):
        waits = SERVICES[service]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}
        assert waits["queue"] == waits["valkey"] == {"condition": "service_healthy"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
