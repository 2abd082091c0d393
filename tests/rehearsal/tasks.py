"""Fargate's part: the API of every task of the deployed service, as a process with the environment of its container."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3

from ops.parts import Part, answers_http
from tests.rehearsal.emulator.tasks import task_credentials
from tests.rehearsal.report import expect
from tests.rehearsal.started import MARK, running
from tests.rehearsal.world import Answer, World, request
from tests.support.parts import RunningPart
from tests.support.screens import Screen


@dataclass
class Tasks:
    """The running tasks, and the load balancer in front of them."""

    world: World
    running: dict[str, RunningPart] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        """Start an API for each task that the service has."""
        ecs, outputs = self.world.cloud.client("ecs"), self.world.cloud.outputs()
        cluster = outputs["ClusterName"]
        arns = ecs.list_tasks(cluster=cluster, serviceName=outputs["ServiceName"])["taskArns"]
        expect(arns, "the service has no task")
        for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
            self._start(task)

    def client(self, service: str) -> Any:
        """A client of AWS with what a task may do."""
        keys = task_credentials(next(iter(self.running)))
        cloud = self.world.cloud
        session = boto3.Session(
            keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], keys["AWS_SESSION_TOKEN"], cloud.region
        )
        return session.client(service, endpoint_url=cloud.endpoint)  # type: ignore[call-overload]

    def close(self) -> None:
        """End them, as a scale-in does: SIGTERM, and time to drain."""
        self._stack.close()
        self.running.clear()

    def viewer(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask CloudFront, as a browser does, which asks the load balancer, which asks a task."""
        host = self.world.cloud.outputs_of("Edge")["DistributionDomainName"]
        # The emulator listens without TLS and takes this for a viewer's.
        return request(self._address(), method, path, body, {"X-Forwarded-Proto": "https", **(headers or {})}, host)

    def balancer(self, path: str) -> Answer:
        """Ask the load balancer directly, as nobody should."""
        return request(self._address(), "GET", self._prefix() + path)

    def origin_header(self) -> dict[str, str]:
        """What CloudFront shows to the load balancer."""
        return {
            "X-Origin-Verify": self.world.cloud.secret(self.world.cloud.outputs_of("Data")["OriginVerifySecretArn"])
        }

    @contextlib.contextmanager
    def screen(self, query: str = "") -> Iterator[Screen]:
        """A client of the stream, watching for the time of the block.

        It comes with CloudFront's header: the emulated CloudFront waits for the end of an answer, and this has none.
        """
        screen = Screen(
            f"http://{self._address()}{self._prefix()}/api/leaderboard/stream{query}", headers=self.origin_header()
        )
        loop = asyncio.new_event_loop()
        watching = loop.create_task(screen.watch())

        def watch() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(watching)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield screen
        finally:
            loop.call_soon_threadsafe(watching.cancel)
            thread.join()
            loop.close()

    def _start(self, task: dict[str, Any]) -> None:
        definition = self.world.cloud.client("ecs").describe_task_definition(taskDefinition=task["taskDefinitionArn"])[
            "taskDefinition"
        ]
        container = definition["containerDefinitions"][0]
        address = next(
            detail["value"]
            for attachment in task["attachments"]
            for detail in attachment["details"]
            if detail["name"] == "privateIPv4Address"
        )
        environ = {
            **{each["name"]: each["value"] for each in container["environment"]},
            # A container's 0.0.0.0 is the network interface of its task.
            "HOST": address,
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_ENDPOINT_URL": self.world.cloud.endpoint,
            "AWS_REGION": self.world.cloud.region,
            "AWS_DEFAULT_REGION": self.world.cloud.region,
            **task_credentials(task["taskArn"]),
            MARK: self.world.mark,
        }
        port = container["portMappings"][0]["containerPort"]
        part = Part(
            name=f"task {address}",
            command=(sys.executable, "-m", "api"),
            environ=environ,
            is_ready=lambda: answers_http(f"http://{address}:{port}/health/ready"),
        )
        log = self.world.folder / "logs" / f"task-{address}.log"
        self.running[task["taskArn"]] = self._stack.enter_context(running(part, log))

    def _address(self) -> str:
        return self.world.cloud.endpoint.removeprefix("http://")

    def _prefix(self) -> str:
        """The emulator reaches a load balancer by its name in the path."""
        name = self.world.cloud.outputs_of("Service")["AlbFullName"].split("/")[1]
        return f"/_alb/{name}"
