"""Package, build and deploy an environment: `python -m ops.deploy dev|staging|prod`.

What samconfig.toml has for the environment, and on top of it these variables: IMAGE (the API's image), VERSION (what
/health reports), PARAMETERS (`Name=value` of the root template, with blanks between), REGION, BUCKET (for packages),
ROLE (for CloudFormation) and OPTIONS (of `sam deploy`). With CI set nobody is asked; without it prod shows its change
set first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ops.home import CLONE
from ops.terminal import OpsError, WrongUse, run_tool, say

ENVIRONMENTS: Final = ("dev", "staging", "prod")
SAM: Final = CLONE / ".venv-aws" / "bin" / "sam"
CACHED_BY_THE_EDGE: Final = ("/", "/docs", "/static/*")
"""CloudFront keeps these whatever the API says of them."""


@dataclass(frozen=True)
class Deployment:
    """One deployment, as it will be done.

    Attributes:
        environment: The section of samconfig.toml.
        stack: The root stack's name.
        region: Where it is.
        parameters: Of the root template, as far as they are not its defaults.
        options: Of `sam deploy`, besides the parameters.
    """

    environment: str
    stack: str
    region: str
    parameters: Mapping[str, str]
    options: tuple[str, ...]

    @classmethod
    def planned(cls, environment: str, environ: Mapping[str, str]) -> Deployment:
        """Put together samconfig.toml and the variables. Raises `WrongUse`."""
        if environment not in ENVIRONMENTS:
            raise WrongUse(f"ENV is {environment!r}: it must be one of {', '.join(ENVIRONMENTS)}")
        with (CLONE / "samconfig.toml").open("rb") as file:
            configured: dict[str, Any] = tomllib.load(file)[environment]["deploy"]["parameters"]
        given = {name: environ.get(name, "").strip() for name in ("IMAGE", "VERSION", "REGION", "BUCKET", "ROLE")}
        named = {"ImageUri": given["IMAGE"], "AppVersion": given["VERSION"]}
        parameters = _pairs(configured.get("parameter_overrides", []))
        parameters |= {name: value for name, value in named.items() if value}
        parameters |= _pairs(environ.get("PARAMETERS", ""))
        if "ImageUri" not in parameters:
            raise WrongUse("IMAGE is not set: it must be the API's image in a registry, by an immutable tag or digest")
        options = {"--region": given["REGION"], "--s3-bucket": given["BUCKET"], "--role-arn": given["ROLE"]}
        words = [word for option, value in options.items() if value for word in (option, value)]
        words += ["--no-confirm-changeset"] if environ.get("CI") else []
        words += environ.get("OPTIONS", "").split()
        region = given["REGION"] or configured["region"]
        return cls(environment, configured["stack_name"], region, parameters, tuple(words))

    @property
    def overrides(self) -> list[str]:
        """The parameters, as the SAM CLI takes them: its own list is replaced by that of the command line."""
        return ["--parameter-overrides", *(f"{name}={value}" for name, value in self.parameters.items())]

    @property
    def build_environ(self) -> dict[str, str]:
        """What the packages are built for: the processor and the Python that the template will ask for."""
        python = self.parameters.get("FunctionRuntime", "python3.13").removeprefix("python")
        return {"LAMBDA_ARCH": self.parameters.get("Architecture", "arm64"), "LAMBDA_PYTHON": python}


def main(arguments: list[str]) -> int:
    """Deploy; gives 0 for done, 1 for failed, 2 for wrong use."""
    return run_tool(str(__doc__), arguments, _deploy)


def _deploy(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise WrongUse("usage: python -m ops.deploy dev|staging|prod")
    deployment = Deployment.planned(arguments[0], os.environ)
    if not SAM.exists():
        raise WrongUse(f"{SAM.relative_to(CLONE)} is missing: make venv-aws makes it")
    _run("package", [sys.executable, "-m", "ops.package", "chalice", "build/chalice"], deployment)
    config = ["--config-env", deployment.environment]
    _run("sam build", [str(SAM), "build", *config, *deployment.overrides], deployment)
    _run("sam deploy", [str(SAM), "deploy", *config, *deployment.options, *deployment.overrides], deployment)
    try:
        outputs = stack_outputs(deployment)
        invalidate(outputs.get("DistributionId", ""))
    except (BotoCoreError, ClientError) as problem:
        raise OpsError(f"The stack is deployed, but what comes after it failed: {problem}") from problem
    say(f"Deployed {deployment.stack}: {outputs.get('Url', 'no address')}")


def stack_outputs(deployment: Deployment) -> dict[str, str]:
    """What the deployed stack says about itself."""
    client = boto3.client("cloudformation", region_name=deployment.region)
    outputs = client.describe_stacks(StackName=deployment.stack)["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def invalidate(distribution: str) -> None:
    """Have the edge forget the pages of the version before."""
    if distribution:
        paths = {"Quantity": len(CACHED_BY_THE_EDGE), "Items": list(CACHED_BY_THE_EDGE)}
        batch: Any = {"Paths": paths, "CallerReference": str(time.time_ns())}
        boto3.client("cloudfront").create_invalidation(DistributionId=distribution, InvalidationBatch=batch)


def _pairs(given: str | list[str]) -> dict[str, str]:
    words = given.split() if isinstance(given, str) else given
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise WrongUse(f"PARAMETERS has {wrong[0]!r}: it must be Name=value, with blanks between")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _run(name: str, command: list[str], deployment: Deployment) -> None:
    environ = {**os.environ, "SAM_CLI_TELEMETRY": "0", **deployment.build_environ}
    if subprocess.run(command, cwd=CLONE, env=environ, check=False).returncode:
        raise OpsError(f"{name} failed; {deployment.stack} is as it was, or goes back to it.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
