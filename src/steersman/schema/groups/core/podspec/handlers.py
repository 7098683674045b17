"""Probes and lifecycle hooks of containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import forbidden, invalid, not_supported, required
from steersman.meta.names import http_header_errors
from steersman.schema.rules import Errors, check_counts, check_name, check_port, check_port_or_name

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
SCHEMES = ("HTTP", "HTTPS")
SIGNALS = frozenset(
    {
        "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO",
        "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS",
        "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH",
        "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMAX",
        *(f"SIGRTMIN+{offset}" for offset in range(1, 16)),
        *(f"SIGRTMAX-{offset}" for offset in range(1, 15)),
    }
)  # fmt: skip
_WINDOWS_SIGNALS = frozenset({"SIGKILL", "SIGTERM"})


def check_probes(errors: Errors, container: Mapping[str, Any], path: str) -> None:
    for name in PROBES:
        probe = container.get(name)
        if probe is not None:
            _check_probe(errors, probe, f"{path}.{name}", name)


def _check_probe(errors: Errors, probe: Mapping[str, Any], path: str, name: str) -> None:
    _check_handler(errors, probe, path, _PROBE_HANDLERS, None)
    check_counts(
        errors,
        probe,
        path,
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    )
    grace_s = probe.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s <= 0:
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than 0"))
    if name == "readinessProbe":
        if grace_s is not None:
            detail = "must not be set for readinessProbes"
            errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace_s, detail))
    elif probe.get("successThreshold", 1) != 1:
        errors.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))


def check_lifecycle(
    errors: Errors, lifecycle: Mapping[str, Any], path: str, *, grace_s: int | None, os_name: str | None
) -> None:
    """``os_name``: None where the pod names no operating system."""
    for name in ("postStart", "preStop"):
        hook = lifecycle.get(name)
        if hook is not None:
            _check_handler(errors, hook, f"{path}.{name}", _HOOK_HANDLERS, grace_s)
    signal = lifecycle.get("stopSignal")
    if not signal:
        return
    if os_name is None:
        errors.append(forbidden(f"{path}.stopSignal", "may not be set for containers with empty `spec.os.name`"))
    else:
        allowed = _WINDOWS_SIGNALS if os_name == "windows" else SIGNALS
        if signal not in allowed:
            errors.append(not_supported(f"{path}.stopSignal", signal, sorted(allowed)))


def _check_handler(
    errors: Errors, handler: Mapping[str, Any], path: str, kinds: Sequence[str], grace_s: int | None
) -> None:
    found = False
    for kind in kinds:
        action = handler.get(kind)
        if action is None:
            continue
        if found:
            errors.append(forbidden(f"{path}.{kind}", "may not specify more than 1 handler type"))
        else:
            found = True
            _check_action(errors, kind, action, f"{path}.{kind}", grace_s)
    if not found:
        errors.append(required(path, "must specify a handler type"))


def _check_action(errors: Errors, kind: str, action: Mapping[str, Any], path: str, grace_s: int | None) -> None:
    match kind:
        case "exec":
            if not action.get("command"):
                errors.append(required(f"{path}.command"))
        case "httpGet":
            if not action.get("path"):
                errors.append(required(f"{path}.path"))
            check_port_or_name(errors, action.get("port"), f"{path}.port")
            if action.get("scheme") not in SCHEMES:
                errors.append(not_supported(f"{path}.scheme", action.get("scheme") or "", SCHEMES))
            for header in action.get("httpHeaders") or ():
                check_name(errors, header.get("name") or "", f"{path}.httpHeaders", http_header_errors)
        case "tcpSocket":
            check_port_or_name(errors, action.get("port"), f"{path}.port")
        case "grpc":
            check_port(errors, action.get("port"), f"{path}.port")
        case "sleep":
            seconds = action.get("seconds") or 0
            if grace_s is not None and not 0 <= seconds <= grace_s:
                detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
                errors.append(invalid(path, seconds, detail))
