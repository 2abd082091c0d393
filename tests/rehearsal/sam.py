"""The SAM CLI, really: build, deploy and delete, against the emulator."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.home import CLONE
from ops.terminal import WrongUse
from tests.rehearsal.cloud import Cloud, emulator_python
from tests.rehearsal.report import StepFailed
from tests.rehearsal.started import MARK, run

CONFIG_ENV = "local"
TOOLS = CLONE / ".venv-aws" / "bin"
BUCKET = "scoreboard-rehearsal-artifacts"
PACKAGE = "deployment.zip"
TIMEOUT_S = 300.0


def architecture() -> str:
    """This machine's processor, as Lambda calls it: functions run here."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def configured(environment: str = CONFIG_ENV) -> tuple[str, str, dict[str, str]]:
    """Region, stack name and parameters that samconfig.toml has for an environment."""
    with (CLONE / "samconfig.toml").open("rb") as file:
        given = tomllib.load(file)[environment]
    values = given.get("global", {}).get("parameters", {}) | given["deploy"]["parameters"]
    overrides = values.get("parameter_overrides", [])
    pairs = overrides.split() if isinstance(overrides, str) else overrides
    return values["region"], values["stack_name"], dict(pair.split("=", 1) for pair in pairs)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise WrongUse(f"{name} is not installed, and `sam build` needs it.")
    return found


@dataclass
class Sam:
    """One deployment, from the clone to the emulated account."""

    cloud: Cloud
    folder: Path
    mark: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def build_folder(self) -> Path:
        """Where the built templates and packages are."""
        return self.folder / "build"

    def build(self) -> None:
        """Make the packages of both kinds of functions, and the templates that name them."""
        self._run("package", [_program("make"), "package"])
        command = ["build", "--config-env", CONFIG_ENV, "--build-dir", str(self.build_folder)]
        self._sam("build", [*command, "--parameter-overrides", *self._given({})])
        # The package that the operations app's template names lies in the clone, where it may be made anew any time.
        template = self.build_folder / "Operations" / "template.yaml"
        shutil.copyfile(CLONE / "build" / "chalice" / PACKAGE, template.with_name(PACKAGE))
        template.write_text(re.sub(rf"(CodeUri: ).*{re.escape(PACKAGE)}", rf"\1{PACKAGE}", template.read_text()))

    def variant(self, name: str) -> Path:
        """A copy of what was built, to be changed."""
        copy = self.folder / f"build-{name}"
        shutil.copytree(self.build_folder, copy)
        return copy

    def deploy(self, name: str, *, build: Path | None = None, changed: Mapping[str, str] | None = None) -> None:
        """Package and deploy what was built. Raises `StepFailed` if the stack does not come to be."""
        build = build or self.variant(name)
        self._run(f"translate-{name}", [str(TOOLS / "python"), str(CLONE / "tests/rehearsal/translate.py"), str(build)])
        packaged = build / "packaged.yaml"
        bucket = ["--s3-bucket", BUCKET, "--region", self.cloud.region]
        files = ["--template-file", str(build / "template.yaml"), "--output-template-file", str(packaged)]
        self._sam(f"package-{name}", ["package", *bucket, *files])
        # `sam delete` takes S3's own addresses only, and the emulator reads those too.
        text = packaged.read_text().replace(self.cloud.endpoint, f"https://s3.{self.cloud.region}.amazonaws.com")
        packaged.write_text(text)
        config = ["--config-file", str(CLONE / "samconfig.toml"), "--config-env", CONFIG_ENV]
        asking = ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        command = ["deploy", *config, "--template-file", str(packaged), *bucket, *asking]
        try:
            self._sam(f"deploy-{name}", [*command, "--parameter-overrides", *self._given(changed or {})])
        except StepFailed as problem:
            raise StepFailed("\n".join(self.cloud.reasons()) or str(problem)) from problem

    def delete(self) -> None:
        """Delete the stack and what was uploaded for it."""
        names = ["--stack-name", self.cloud.stack_name, "--region", self.cloud.region]
        self._sam("delete", ["delete", "--no-prompts", "--config-env", CONFIG_ENV, *names])

    def _given(self, changed: Mapping[str, str]) -> list[str]:
        return [f"{name}={value}" for name, value in {**self.parameters, **changed}.items()]

    def _sam(self, name: str, arguments: list[str]) -> None:
        self._run(name, [str(TOOLS / "sam"), *arguments])

    def _run(self, name: str, command: list[str]) -> None:
        log = self.folder / "logs" / f"sam-{name}.log"
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environ = {
            # Proxies, certificates and caches are the user's; accounts are not.
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_", "__SAM_"))},
            "__SAM_CLI_APP_DIR": str(home),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "1",
            "LAMBDA_ARCH": architecture(),
            "LAMBDA_PYTHON": emulator_python(),
            "NO_COLOR": "1",
            MARK: self.mark,
            **self.cloud.environ,
        }
        code = run(command, cwd=CLONE, environ=environ, log=log, timeout_s=TIMEOUT_S)
        if code:
            end = "\n".join(log.read_text(errors="replace").strip().splitlines()[-25:])
            raise StepFailed(f"{name} ended with {code}; the end of {log}:\n{end}")
