"""Queues and what is invoked in the background: nothing is lost silently, nothing is worked on twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.policies import statements
from tests.aws.values import as_list, number, references

QUEUE: Final = "AWS::SQS::Queue"
MAPPING: Final = "AWS::Lambda::EventSourceMapping"
FUNCTION: Final = "AWS::Lambda::Function"
INVOKES_LATER: Final = ("AWS::Events::Rule", "AWS::Scheduler::Schedule", "AWS::SNS::Subscription")
VISIBILITY_PER_TIMEOUT: Final = 6
FEWEST_ATTEMPTS: Final = 5
_DEFAULT_TIMEOUT: Final = 3
_DEFAULT_RETENTION: Final = 345_600


def dead_letters(model: Model, queue: Resource) -> Resource | None:
    """Return the queue that takes what a queue gives up."""
    return model.target(queue.get("RedrivePolicy.deadLetterTargetArn"))


def is_for_dead_letters(model: Model, queue: Resource) -> bool:
    """Whether something gives up its messages to this queue."""
    if any(dead_letters(model, other) is queue for other in model.of(QUEUE)):
        return True
    if queue.get("RedriveAllowPolicy.redrivePermission") == "denyAll":
        return True  # no queue gives up to it; where there are functions, they do
    return any(model.target(function.get("DeadLetterConfig.TargetArn")) is queue for function in model.of(FUNCTION))


def invoked_later(model: Model) -> Iterator[tuple[Resource, Resource]]:
    """The (function, what invokes it without waiting for its answer)."""
    for source in model.of(*INVOKES_LATER):
        named = {found.resource for found in references(source.properties)}
        for path in named:
            function = model.resources.get(path.removesuffix(".Alias"))
            if function is not None and function.type == FUNCTION:
                yield function, source


@check("a statement of a queue's policy is about that queue alone")
def policies_name_one_queue(model: Model) -> Iterator[Finding]:
    for policy in model.of("AWS::SQS::QueuePolicy"):
        if len(as_list(policy.get("Queues"))) != 1 or any(len(each.targets) != 1 for each in statements(policy)):
            yield Finding(policy.where, "SQS refuses a statement with more resources than one")


@check("every queue gives up to a dead-letter queue")
def queues_have_dead_letters(model: Model) -> Iterator[Finding]:
    for queue in model.of(QUEUE):
        if is_for_dead_letters(model, queue):
            continue
        letters = dead_letters(model, queue)
        if letters is None or letters.type != QUEUE:
            yield Finding(queue.where, "has no dead-letter queue")
        elif number(queue.get("RedrivePolicy.maxReceiveCount")) < FEWEST_ATTEMPTS:
            yield Finding(
                queue.where, f"gives up after fewer than {FEWEST_ATTEMPTS} attempts: an outage fills the dead letters"
            )


@check("dead letters are kept longer than the messages that they were")
def dead_letters_are_kept(model: Model) -> Iterator[Finding]:
    for queue in model.of(QUEUE):
        letters = dead_letters(model, queue)
        if letters is not None and _retention(letters) <= _retention(queue):
            yield Finding(letters.where, f"keeps messages no longer than {queue.name}, whose dead letters it takes")
    for function, _ in invoked_later(model):
        letters = model.target(function.get("DeadLetterConfig.TargetArn"))
        if letters is not None and letters.type == QUEUE and _retention(letters) < 14 * 86_400:
            yield Finding(letters.where, "keeps the events of failed functions for less than 14 days")


def _retention(queue: Resource) -> float:
    return number(queue.get("MessageRetentionPeriod"), _DEFAULT_RETENTION)


@check("every function that is invoked in the background has a place for what it fails on")
def background_functions_have_dead_letters(model: Model) -> Iterator[Finding]:
    for function, source in invoked_later(model):
        configured = [
            found
            for found in model.of("AWS::Lambda::EventInvokeConfig")
            if model.target(found.get("FunctionName")) is function
        ]
        places = [function.get("DeadLetterConfig.TargetArn")]
        places.extend(found.get("DestinationConfig.OnFailure.Destination") for found in configured)
        if not any(model.target(place) for place in places):
            yield Finding(function.where, f"{source.name} invokes it, and nothing keeps an event that fails")


@check("a message stays invisible six times as long as a function may take for it")
def visibility_covers_timeouts(model: Model) -> Iterator[Finding]:
    for mapping in model.of(MAPPING):
        queue, function = _ends(model, mapping)
        if queue is None or function is None:
            yield Finding(mapping.where, "its queue or its function is not part of the deployment")
            continue
        visibility = number(queue.get("VisibilityTimeout"), 30)
        needed = VISIBILITY_PER_TIMEOUT * number(function.get("Timeout"), _DEFAULT_TIMEOUT)
        if visibility < needed:
            yield Finding(queue.where, f"hides a message for {visibility:g} s; {function.name} needs {needed:g} s")


@check("a batch reports its failures one by one, from no dead-letter queue, on a bounded number of functions")
def event_sources_are_careful(model: Model) -> Iterator[Finding]:
    for mapping in model.of(MAPPING):
        queue, _ = _ends(model, mapping)
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield Finding(mapping.where, "one bad message would bring back its whole batch")
        if number(mapping.get("ScalingConfig.MaximumConcurrency")) < 2:
            yield Finding(mapping.where, "nothing bounds how many functions it starts, each with a database connection")
        if queue is not None and is_for_dead_letters(model, queue):
            yield Finding(mapping.where, "takes dead letters: it would delete what it calls done")
        size, window = number(mapping.get("BatchSize"), 10), number(mapping.get("MaximumBatchingWindowInSeconds"))
        if size > 10 and window < 1:
            yield Finding(mapping.where, "a batch of more than 10 needs a window of at least a second")


def _ends(model: Model, mapping: Resource) -> tuple[Resource | None, Resource | None]:
    queue = model.target(mapping.get("EventSourceArn"))
    function = model.target(mapping.get("FunctionName"))
    return queue, function


@check("every dead-letter queue says whose messages it takes")
def dead_letter_queues_name_sources(model: Model) -> Iterator[Finding]:
    for queue in model.of(QUEUE):
        if is_for_dead_letters(model, queue) and not queue.get("RedriveAllowPolicy"):
            yield Finding(queue.where, "has no RedriveAllowPolicy: any queue of the account may fill it")
