"""What ``--audit-*`` says, and the backends that it asks for."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.apiserver.audit.api import AuditBackend, Lenient, Union
from steersman.apiserver.audit.buffering import BatchOptions, Buffered
from steersman.apiserver.audit.logfile import LogBackend, RotatedFile, RotationOptions, StandardOutput
from steersman.apiserver.audit.metrics import AuditMetrics
from steersman.apiserver.audit.policy import Policy
from steersman.apiserver.audit.truncation import TruncateOptions, Truncating
from steersman.client.transport import Transport

log = logging.getLogger(__name__)

Mode = Literal["batch", "blocking", "blocking-strict"]
MODES: tuple[Mode, ...] = ("batch", "blocking", "blocking-strict")
FORMATS = ("legacy", "json")
LOG_BATCHES = BatchOptions(max_size=1, throttle=False, in_parallel=False)


class AuditLog(Struct, frozen=True, kw_only=True):
    """``--audit-log-*``."""

    path: str
    """``-`` is standard output."""
    form: Literal["json", "legacy"] = "json"
    rotation: RotationOptions = field(default_factory=RotationOptions)
    mode: Mode = "blocking"
    batches: BatchOptions = LOG_BATCHES
    truncate: TruncateOptions = field(default_factory=TruncateOptions)


class AuditWebhook(Struct, frozen=True, kw_only=True):
    """``--audit-webhook-*``. ``connect`` makes the connection to the server that the kubeconfig names."""

    connect: Callable[[], Transport]
    initial_backoff_s: float = 10.0
    mode: Mode = "batch"
    batches: BatchOptions = field(default_factory=BatchOptions)
    truncate: TruncateOptions = field(default_factory=TruncateOptions)


class AuditConfig(Struct, frozen=True, kw_only=True):
    """Without a policy nothing is recorded."""

    policy: Policy | None = None
    log: AuditLog | None = None
    webhook: AuditWebhook | None = None


def backend_of(config: AuditConfig, *, clock: Clock, rng: random.Random, metrics: AuditMetrics) -> AuditBackend | None:
    """The backend of a configuration; None where it asks for none. Raises ``OSError``."""
    if config.policy is None:
        if config.log is not None or config.webhook is not None:
            log.warning("no audit policy file provided, no audit events will be recorded")
        return None
    for name in config.policy.unknown_fields:
        log.warning("audit policy: unknown field %s", name)
    backends: list[AuditBackend] = []
    if config.log is not None:
        backends.append(_log_backend(config.log, clock=clock, metrics=metrics))
    if config.webhook is not None:
        backends.append(_webhook_backend(config.webhook, clock=clock, rng=rng, metrics=metrics))
    return Union(backends) if len(backends) > 1 else next(iter(backends), None)


def _log_backend(config: AuditLog, *, clock: Clock, metrics: AuditMetrics) -> AuditBackend:
    output = StandardOutput() if config.path == "-" else RotatedFile(Path(config.path), config.rotation, clock=clock)
    backend = LogBackend(output, form=config.form, metrics=metrics)
    return _wrapped(backend, config.mode, config.batches, config.truncate, clock=clock, metrics=metrics)


def _webhook_backend(config: AuditWebhook, *, clock: Clock, rng: random.Random, metrics: AuditMetrics) -> AuditBackend:
    from steersman.apiserver.audit.webhook import WebhookBackend

    backend = WebhookBackend(
        config.connect, initial_backoff_s=config.initial_backoff_s, clock=clock, rng=rng, metrics=metrics
    )
    return _wrapped(backend, config.mode, config.batches, config.truncate, clock=clock, metrics=metrics)


def _wrapped(
    backend: AuditBackend,
    mode: Mode,
    batches: BatchOptions,
    truncate: TruncateOptions,
    *,
    clock: Clock,
    metrics: AuditMetrics,
) -> AuditBackend:
    if mode == "batch":
        backend = Buffered(backend, batches, clock=clock, metrics=metrics)
    elif mode == "blocking":
        backend = Lenient(backend)
    return Truncating(backend, truncate, metrics=metrics) if truncate.enabled else backend
