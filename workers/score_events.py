"""The worker of the score queue: SQS batch in, ids of failed messages out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from scoreboard.errors import ConfigError, InvalidRequest, Unavailable
from scoreboard.service import BatchReport, apply_events
from workers import runtime

RESERVE_MS: Final = 1_500
"""Time kept back to write the index and answer; without it a batch is not begun, and is delivered again."""
PUT_OFF_S: Final = RESERVE_MS / 1000 / 2
MAX_STATEMENT_MS: Final = 10_000


class ScoreBatchProcessor(BatchProcessor):
    """Applies a batch as one, where the base class goes record by record; it reports by record like any other."""

    def __init__(self, time_left_ms: int) -> None:
        super().__init__(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        self._time_left_ms = time_left_ms

    def process(self) -> list[Any]:
        """Apply all records and sort each into success or failure."""
        messages = [str(record["body"]) for record in self.records]
        failed = self._apply(messages)
        return [
            self.failure_handler(self._to_batch_type(record, self.event_type), failed[at])
            if at in failed
            else self.success_handler(record, None)
            for at, record in enumerate(self.records)
        ]

    def _apply(self, messages: list[str]) -> dict[int, tuple[Any, ...]]:
        try:
            if self._time_left_ms <= RESERVE_MS:
                raise Unavailable("Too little time is left to begin a batch.")
            report = apply_events(
                messages,
                store=runtime.store(),
                writer=runtime.writer(),
                timeout_ms=min(MAX_STATEMENT_MS, self._time_left_ms - RESERVE_MS),
            )
        except Unavailable as error:
            self._put_off(error)
            return {at: _exc_info(error) for at in range(len(messages))}
        _report(report, messages)
        return {at: _exc_info(InvalidRequest(reason)) for at, reason in report.failed.items()}

    def _put_off(self, error: Unavailable) -> None:
        """Have the batch delivered later, and later each time, lest an outage make dead letters of good messages."""
        runtime.logger().warning("batch postponed", extra={"reason": error.message, "records": len(self.records)})
        runtime.metrics().add_metric(name="batches_postponed", unit=MetricUnit.Count, value=1)
        runtime.redelivery().put_off(_receipts(self.records), within_s=PUT_OFF_S)


def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Apply the score events of one SQS batch; report the messages to deliver again."""
    try:
        logger, metrics = runtime.logger(), runtime.metrics()
    except ConfigError:
        # A cold start while a secret cannot be read is an outage like any other.
        runtime.redelivery_of_environment().put_off(_receipts(event["Records"]), within_s=PUT_OFF_S)
        raise
    logger.append_keys(function_request_id=context.aws_request_id)
    try:
        return process_partial_response(
            event=event,
            record_handler=_unused,
            processor=ScoreBatchProcessor(context.get_remaining_time_in_millis()),
            context=context,
        )
    finally:
        metrics.flush_metrics()


def _unused(record: Any) -> None:
    """The signature wants a handler of one record; `ScoreBatchProcessor.process` applies all at once."""


def _receipts(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(str(record["receiptHandle"]), int(record["attributes"]["ApproximateReceiveCount"])) for record in records]


def _exc_info(error: Exception) -> tuple[Any, ...]:
    return type(error), error, error.__traceback__


def _report(report: BatchReport, messages: list[str]) -> None:
    logger, metrics = runtime.logger(), runtime.metrics()
    figures = {
        "events_applied": report.fresh,
        "events_duplicate": report.duplicates,
        "events_rejected": len(report.failed),
        "events_conflicting": report.conflicting,
    }
    for name, value in figures.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    logger.info("batch applied", extra={"records": len(messages), "index_changed": report.index_changed, **figures})
    for at, reason in report.failed.items():
        logger.warning("event rejected", extra={"reason": reason, "body": messages[at][:512]})
    if report.index_error:
        metrics.add_metric(name="index_write_failed", unit=MetricUnit.Count, value=1)
        logger.warning("index not written; the sweeper repairs it", extra={"reason": report.index_error})
