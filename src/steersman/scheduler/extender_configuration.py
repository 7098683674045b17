"""Extenders of a KubeSchedulerConfiguration."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.scheduler.plugin_args import ArgsError, duration_s, reject_unknown
from steersman.scheduler.pod_requests import is_extended_resource


class TLS(Struct, frozen=True, kw_only=True):
    """How an extender is trusted, and who we are to it. Data wins over files."""

    insecure: bool = False
    server_name: str = ""
    """What the certificate must be for, instead of the host of the URL."""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    ca_data: bytes = b""
    cert_data: bytes = b""
    key_data: bytes = b""


class Extender(Struct, frozen=True, kw_only=True):
    """An HTTP extender."""

    url_prefix: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    preempt_verb: str = ""
    bind_verb: str = ""
    weight: int = 0
    timeout_s: float = 5.0
    node_cache_capable: bool = False
    """It knows nodes and pods itself and gets names and uids only."""
    managed_resources: tuple[tuple[str, bool], ...] = ()
    """(resource, ignored by the scheduler)."""
    ignorable: bool = False
    """Pods are placed without it where it fails."""
    tls: TLS = TLS()


def read_extenders(entries: Sequence[Mapping[str, Any]]) -> tuple[Extender, ...]:
    """Raises ``ArgsError``."""
    found = tuple(_read(entry, f"extenders[{index}]") for index, entry in enumerate(entries))
    binders = sum(bool(extender.bind_verb) for extender in found)
    if binders > 1:
        raise ArgsError(
            f'extenders: Invalid value: "found {binders} extenders implementing bind": only one extender can implement bind'
        )
    _check_resources(found)
    return found


def _read(entry: Mapping[str, Any], path: str) -> Extender:
    known = (
        "urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "weight", "bindVerb", "enableHTTPS", "tlsConfig",
        "httpTimeout", "nodeCacheCapable", "managedResources", "ignorable",
    )  # fmt: skip
    reject_unknown(entry, known, path)
    weight = int(entry.get("weight") or 0)
    if entry.get("prioritizeVerb") and weight <= 0:
        raise ArgsError(f"{path}.weight: Invalid value: {weight}: must have a positive weight applied to it")
    for index, resource in enumerate(entry.get("managedResources") or ()):
        reject_unknown(resource, ("name", "ignoredByScheduler"), f"{path}.managedResources[{index}]")
    return Extender(
        url_prefix=str(entry.get("urlPrefix") or "").rstrip("/"),
        filter_verb=entry.get("filterVerb") or "",
        prioritize_verb=entry.get("prioritizeVerb") or "",
        preempt_verb=entry.get("preemptVerb") or "",
        bind_verb=entry.get("bindVerb") or "",
        weight=weight,
        timeout_s=duration_s(entry.get("httpTimeout") or "5s", f"{path}.httpTimeout") or 5.0,
        node_cache_capable=bool(entry.get("nodeCacheCapable")),
        managed_resources=tuple(
            (str(resource.get("name")), bool(resource.get("ignoredByScheduler")))
            for resource in entry.get("managedResources") or ()
        ),
        ignorable=bool(entry.get("ignorable")),
        tls=_read_tls(entry, path),
    )


def _read_tls(entry: Mapping[str, Any], path: str) -> TLS:
    """As upstream: ``enableHTTPS`` without an authority means that anybody is trusted."""
    stated = entry.get("tlsConfig") or {}
    known = ("insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData")
    reject_unknown(stated, known, f"{path}.tlsConfig")
    has_authority = bool(stated.get("caFile") or stated.get("caData"))
    return TLS(
        insecure=bool(stated.get("insecure")) or (bool(entry.get("enableHTTPS")) and not has_authority),
        server_name=stated.get("serverName") or "",
        ca_file=stated.get("caFile") or "",
        cert_file=stated.get("certFile") or "",
        key_file=stated.get("keyFile") or "",
        ca_data=_bytes(stated, "caData", path),
        cert_data=_bytes(stated, "certData", path),
        key_data=_bytes(stated, "keyData", path),
    )


def _bytes(stated: Mapping[str, Any], name: str, path: str) -> bytes:
    try:
        return base64.b64decode(stated.get(name) or "", validate=True)
    except binascii.Error as error:
        raise ArgsError(f"{path}.tlsConfig.{name}: Invalid value: {error}") from error


def _check_resources(extenders: Sequence[Extender]) -> None:
    seen: set[str] = set()
    for index, extender in enumerate(extenders):
        for place, (name, _) in enumerate(extender.managed_resources):
            path = f"extenders[{index}].managedResources[{place}].name"
            if not is_extended_resource(name):
                raise ArgsError(f'{path}: Invalid value: "{name}": is an invalid extended resource name')
            if name in seen:
                raise ArgsError(f'{path}: Invalid value: "{name}": duplicate extender managed resource name')
            seen.add(name)
