"""KubeletConfiguration v1beta1 documents: read from files and drop-ins, completed with defaults, validated.

The completed document is what ``/configz`` shows and what ``KubeletConfig`` is made from (``configuration_settings``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steersman.kubelet import configuration_fields as known
from steersman.kubelet import feature_gates
from steersman.kubelet.configuration import ConfigurationError
from steersman.kubelet.configuration_fields import FIELDS, Field
from steersman.kubelet.eviction.thresholds import DEFAULT_HARD
from steersman.meta.durations import parse_duration

API_VERSION = "kubelet.config.k8s.io/v1beta1"

Document = dict[str, Any]


def load_configuration(path: Path) -> Document:
    """The document at ``path`` as it stands. Raises ``ConfigurationError``."""
    import yaml

    try:
        document = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} holds no object")
    if document.get("kind") != "KubeletConfiguration" or document.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"{path} is not a KubeletConfiguration of {API_VERSION}")
    return {key: value for key, value in document.items() if key not in ("kind", "apiVersion")}


def load_configurations(path: Path | None, drop_ins: Path | None) -> Document:
    """``--config`` with every ``*.conf`` below ``--config-dir`` merged over it (RFC 7386), in the order of their paths."""
    document = load_configuration(path) if path is not None else {}
    if drop_ins is not None:
        if not drop_ins.is_dir():
            raise ConfigurationError(f"{drop_ins} is no directory")
        for file in sorted(drop_ins.rglob("*.conf")):
            document = merge(document, load_configuration(file))
    return document


def merge(target: Mapping[str, Any], patch: Mapping[str, Any]) -> Document:
    """``patch`` over ``target`` by JSON merge patch's rules."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            before = result.get(name)
            result[name] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def complete(document: Mapping[str, Any]) -> Document:
    """With every default. Raises ``ConfigurationError`` naming what is unknown, malformed or not supported."""
    problems = [problem for name, value in document.items() if (problem := _problem(name, value))]
    unknown = sorted(name for name in document if name not in FIELDS)
    if unknown:
        problems.insert(0, f"unsupported options: {', '.join(unknown)}")
    problems += _nested_problems(document)
    problems += feature_gates.problems(document.get("featureGates") or {})
    if problems:
        raise ConfigurationError("; ".join(problems))
    result: Document = {}
    for name, field in FIELDS.items():
        value = document.get(name)
        if value is None or (name in known.ZERO_MEANS_DEFAULT and _is_zero(field, value)):
            value = field.default
        if value is not None:
            result[name] = value
    result["authentication"] = {
        part: _with_defaults(fields, (document.get("authentication") or {}).get(part) or {})
        for part, fields in known.AUTHENTICATION.items()
    }
    authorization = document.get("authorization") or {}
    result["authorization"] = {
        "mode": authorization.get("mode") or "Webhook",
        "webhook": _with_defaults(known.AUTHORIZATION_WEBHOOK, authorization.get("webhook") or {}),
    }
    _dependent_defaults(document, result)
    return result


def _dependent_defaults(given: Mapping[str, Any], result: Document) -> None:
    """Defaults that depend on other fields."""
    if not _seconds_given(given, "nodeStatusReportFrequency") and _seconds_given(given, "nodeStatusUpdateFrequency"):
        result["nodeStatusReportFrequency"] = result["nodeStatusUpdateFrequency"]
    if given.get("serializeImagePulls") is None:
        result["serializeImagePulls"] = (given.get("maxParallelImagePulls") or 0) < 2
    if given.get("evictionHard") is None:
        result["evictionHard"] = dict(DEFAULT_HARD)
    elif given.get("mergeDefaultEvictionSettings"):
        result["evictionHard"] = {**DEFAULT_HARD, **given["evictionHard"]}
    if (given.get("podPidsLimit") or 0) < 0:
        result["podPidsLimit"] = -1
    backoff = dict(given.get("crashLoopBackOff") or {})
    backoff.setdefault("maxContainerRestartPeriod", "5m0s")
    result["crashLoopBackOff"] = backoff
    result["memorySwap"] = dict(given.get("memorySwap") or {})
    result["logging"] = {
        "format": "text", "flushFrequency": "5s", "verbosity": 0, **(given.get("logging") or {})
    }  # fmt: skip


def _seconds_given(document: Mapping[str, Any], name: str) -> bool:
    return not _is_zero(FIELDS[name], document.get(name) or "")


def _is_zero(field: Field, value: Any) -> bool:
    if field.kind == "duration":
        return parse_duration(value or "0") == 0
    return value in (0, "")


def _with_defaults(fields: Mapping[str, Field], given: Mapping[str, Any]) -> Document:
    return {
        name: given[name]
        if given.get(name) is not None and not (field.kind == "duration" and _is_zero(field, given[name]))
        else field.default
        for name, field in fields.items()
    }


def _problem(name: str, value: Any) -> str:
    field = FIELDS.get(name)
    return "" if field is None or value is None else field.problem(name, value)


def _nested_problems(document: Mapping[str, Any]) -> Iterable[str]:
    nested: list[tuple[str, Mapping[str, Field], Any]] = []
    authentication = document.get("authentication") or {}
    if isinstance(authentication, Mapping):
        parts = {name: Field(kind="object") for name in known.AUTHENTICATION}
        nested.append(("authentication", parts, authentication))
        nested += [
            (f"authentication.{part}", fields, authentication.get(part) or {})
            for part, fields in known.AUTHENTICATION.items()
        ]
    authorization = document.get("authorization") or {}
    if isinstance(authorization, Mapping):
        nested.append(("authorization", known.AUTHORIZATION, authorization))
        nested.append(("authorization.webhook", known.AUTHORIZATION_WEBHOOK, authorization.get("webhook") or {}))
    nested.append(("logging", known.LOGGING, document.get("logging") or {}))
    nested.append(("memorySwap", {"swapBehavior": Field(kind="str")}, document.get("memorySwap") or {}))
    crash_loop = {"maxContainerRestartPeriod": Field(kind="duration")}
    nested.append(("crashLoopBackOff", crash_loop, document.get("crashLoopBackOff") or {}))
    nested.append(("userNamespaces", {"idsPerPod": Field(kind="int")}, document.get("userNamespaces") or {}))
    by_priority = {"priority": Field(kind="int"), "shutdownGracePeriodSeconds": Field(kind="int")}
    for index, entry in enumerate(document.get("shutdownGracePeriodByPodPriority") or ()):
        nested.append((f"shutdownGracePeriodByPodPriority[{index}]", by_priority, entry))
    memory = {"numaNode": Field(kind="int"), "limits": Field(kind="object")}
    for index, entry in enumerate(document.get("reservedMemory") or ()):
        nested.append((f"reservedMemory[{index}]", memory, entry))
    for path, fields, values in nested:
        if not isinstance(values, Mapping):
            continue  # said already: the field as a whole has another type
        for name, value in values.items():
            if name not in fields:
                yield f"unsupported options: {path}.{name}"
            elif value is not None and (problem := fields[name].problem(f"{path}.{name}", value)):
                yield problem
