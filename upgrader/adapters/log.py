"""Set up structured logs: JSON lines for machines, coloured text for terminals, secrets in neither."""

from __future__ import annotations

import logging
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from upgrader.adapters.redaction import Redactor


def redacting(redactor: Redactor) -> Processor:
    """Return a processor that masks every known secret in an event; it must stand before the renderer."""

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        masked = redactor.value(event)
        return dict(masked)

    return redact


def configure(stream: TextIO, *, redactor: Redactor, json: bool, level: int = logging.INFO) -> None:
    """Send all events of this process to a stream.

    Args:
        stream: Where to; stderr, or a file.
        redactor: Knows the secrets; may learn more later.
        json: One JSON object a line; else text, with colours on a terminal.
        level: Events below it are dropped; `logging.INFO` by default.
    """
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            redacting(redactor),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
