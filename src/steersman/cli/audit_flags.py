"""``--audit-*``: kube-apiserver's flags for audit, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from steersman.apiserver.audit.buffering import BatchOptions
    from steersman.apiserver.audit.configuration import AuditConfig
    from steersman.apiserver.audit.truncation import TruncateOptions
    from steersman.client.transport import Transport

_MODES = ("batch", "blocking", "blocking-strict")
_VERSION = "audit.k8s.io/v1"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _option(name: str, default: Any, text: str, **more: Any) -> Callable[[_Command], _Command]:
    return click.option(f"--audit-{name}", default=default, show_default=default != "", help=text, **more)


def _of_backend(backend: str, mode: str, max_size: int, throttle: bool) -> list[Callable[[_Command], _Command]]:
    return [
        _option(f"{backend}-mode", mode, "When events go out.", type=click.Choice(_MODES)),
        _option(f"{backend}-batch-buffer-size", 10_000, "Events that may wait, in batch mode.", type=int),
        _option(f"{backend}-batch-max-size", max_size, "Events of a batch, at most.", type=int),
        _option(f"{backend}-batch-max-wait", "30s", "How long a batch that is not full waits."),
        _option(f"{backend}-batch-throttle-enable", throttle, "Limit the rate of batches.", type=bool),
        _option(f"{backend}-batch-throttle-qps", 10.0, "Batches a second.", type=float),
        _option(f"{backend}-batch-throttle-burst", 15, "Batches at once, after a pause.", type=int),
        _option(f"{backend}-truncate-enabled", False, "Cut events and batches that are too large.", type=bool),
        _option(f"{backend}-truncate-max-batch-size", 10 * 1024 * 1024, "Bytes of a batch.", type=int),
        _option(f"{backend}-truncate-max-event-size", 100 * 1024, "Bytes of an event.", type=int),
        _option(f"{backend}-version", _VERSION, "Version of the events.", type=click.Choice([_VERSION])),
    ]


_OPTIONS: list[Callable[[Any], Any]] = [
    _option("policy-file", "", "Policy: which requests are recorded, and in what detail."),
    _option("log-path", "", "File to which events are written; - is standard output."),
    _option("log-format", "json", "Form of the lines.", type=click.Choice(["legacy", "json"])),
    _option("log-maxage", 366, "Days to keep rotated files; 0: for ever.", type=click.IntRange(min=0)),
    _option("log-maxbackup", 100, "Rotated files to keep; 0: all.", type=click.IntRange(min=0)),
    _option("log-maxsize", 100, "Megabytes before a file is rotated; 0: never.", type=click.IntRange(min=0)),
    _option("log-compress", False, "Compress rotated files.", type=bool),
    *_of_backend("log", "blocking", 1, False),
    _option("webhook-config-file", "", "Kubeconfig of the server to which events are posted."),
    click.option(
        "--audit-webhook-initial-backoff",
        "--audit-webhook-batch-initial-backoff",
        default="10s",
        show_default=True,
        help="Pause before a failed post is tried again.",
    ),
    *_of_backend("webhook", "batch", 400, True),
]


def audit_flags(command: _Command) -> _Command:
    """Add the flags to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_audit_flags(flags: Mapping[str, Any]) -> AuditConfig:
    """What the flags ask for. Raises ``click.UsageError``."""
    from steersman.apiserver.audit.configuration import AuditConfig, AuditLog, AuditWebhook
    from steersman.apiserver.audit.logfile import RotationOptions
    from steersman.apiserver.audit.policy import InvalidPolicy, load

    policy = None
    if flags["audit_policy_file"]:
        try:
            with open(flags["audit_policy_file"], "rb") as file:
                policy = load(file.read())
        except (OSError, InvalidPolicy) as error:
            raise click.UsageError(f"--audit-policy-file: loading audit policy file: {error}") from error
    log = webhook = None
    if flags["audit_log_path"]:
        log = AuditLog(
            path=flags["audit_log_path"],
            form=flags["audit_log_format"],
            rotation=RotationOptions(
                max_age_days=flags["audit_log_maxage"],
                max_backups=flags["audit_log_maxbackup"],
                max_size_megabytes=flags["audit_log_maxsize"],
                compress=flags["audit_log_compress"],
            ),
            mode=flags["audit_log_mode"],
            batches=_batches(flags, "log", in_parallel=False),
            truncate=_truncation(flags, "log"),
        )
    if flags["audit_webhook_config_file"]:
        webhook = AuditWebhook(
            connect=_connection(flags["audit_webhook_config_file"]),
            initial_backoff_s=duration(flags, "audit_webhook_initial_backoff"),
            mode=flags["audit_webhook_mode"],
            batches=_batches(flags, "webhook", in_parallel=True),
            truncate=_truncation(flags, "webhook"),
        )
    return AuditConfig(policy=policy, log=log, webhook=webhook)


def _connection(path: str) -> Callable[[], Transport]:
    from steersman.client.kubeconfig import KubeConfigError, load

    try:
        config = load(path)
    except KubeConfigError as error:
        raise click.UsageError(f"--audit-webhook-config-file: {error}") from error

    def connect() -> Transport:
        from steersman.client.http import HTTPTransport

        return HTTPTransport(config)

    return connect


def _batches(flags: Mapping[str, Any], backend: str, *, in_parallel: bool) -> BatchOptions:
    from steersman.apiserver.audit.buffering import BatchOptions

    def value(name: str) -> Any:
        return flags[f"audit_{backend}_batch_{name}"]

    wanted = {"buffer-size": value("buffer_size"), "max-size": value("max_size")}
    if value("throttle_enable"):
        wanted |= {"throttle-qps": value("throttle_qps"), "throttle-burst": value("throttle_burst")}
    for name, number in wanted.items():
        if number <= 0:
            raise click.UsageError(f"--audit-{backend}-batch-{name}: {number} is not positive")
    return BatchOptions(
        buffer_size=value("buffer_size"),
        max_size=value("max_size"),
        max_wait_s=duration(flags, f"audit_{backend}_batch_max_wait"),
        throttle=value("throttle_enable"),
        throttle_qps=value("throttle_qps"),
        throttle_burst=value("throttle_burst"),
        in_parallel=in_parallel,
    )


def _truncation(flags: Mapping[str, Any], backend: str) -> TruncateOptions:
    from steersman.apiserver.audit.truncation import TruncateOptions

    event, batch = flags[f"audit_{backend}_truncate_max_event_size"], flags[f"audit_{backend}_truncate_max_batch_size"]
    if event <= 0 or batch < event:
        raise click.UsageError(f"--audit-{backend}-truncate-max-batch-size has to be at least the size of an event")
    return TruncateOptions(
        enabled=flags[f"audit_{backend}_truncate_enabled"], max_batch_bytes=batch, max_event_bytes=event
    )


def duration(flags: Mapping[str, Any], name: str) -> float:
    """Seconds of a flag. Raises ``click.UsageError``."""
    from steersman.meta.durations import parse_duration

    try:
        value_s = parse_duration(flags[name])
    except ValueError as error:
        raise click.UsageError(f"--{name.replace('_', '-')}: {error}") from error
    if value_s < 0:
        raise click.UsageError(f"--{name.replace('_', '-')} can not be negative value")
    return value_s
