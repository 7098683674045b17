"""A pod's resolv.conf: from its DNS policy and config, the cluster's DNS servers and the node's own resolv.conf."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.kubelet.podspec import full_name, is_host_network
from steersman.kubelet.runtimes.sandboxes import DNSConfig
from steersman.meta import objects

MAX_SERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048
MAX_SEARCH_LENGTH = 253


class PodDNS(Struct, frozen=True, kw_only=True):
    """The sandbox's DNS configuration, and what had to be left out or replaced: (event reason, message)."""

    config: DNSConfig
    warnings: tuple[tuple[str, str], ...] = ()


def parse_resolv_conf(text: str) -> DNSConfig:
    """Name servers, the last search line and the options of a resolv.conf."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if fields[0] == "nameserver" and len(fields) > 1:
            servers.append(fields[1])
        elif fields[0] == "search":
            searches = [entry.rstrip(".") for entry in fields[1:] if entry != "."]
        elif fields[0] == "options":
            options = _merge_options(options, fields[1:])
    return DNSConfig(servers=tuple(servers), searches=tuple(searches), options=tuple(options))


def pod_dns(pod: Mapping[str, Any], *, node: DNSConfig, cluster_servers: Sequence[str], cluster_domain: str) -> PodDNS:
    """What the pod's ``dnsPolicy`` and ``dnsConfig`` ask for, cut to what resolvers take."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    warnings: list[tuple[str, str]] = []
    config = node
    if policy == "None":
        config = DNSConfig()
    elif policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not is_host_network(pod)):
        if cluster_servers:
            config = DNSConfig(
                servers=tuple(cluster_servers),
                searches=_cluster_searches(objects.namespace(pod), cluster_domain, node.searches),
                options=("ndots:5",),
            )
        else:
            warnings.append((
                "MissingClusterDNS",
                f'pod: "{full_name(pod)}". kubelet does not have ClusterDNS IP configured and cannot create Pod using'
                ' "ClusterFirst" policy. Falling back to "Default" policy.',
            ))  # fmt: skip
    own = pod["spec"].get("dnsConfig")
    if own:
        config = DNSConfig(
            servers=_unique((*config.servers, *(own.get("nameservers") or ()))),
            searches=_unique((*config.searches, *(own.get("searches") or ()))),
            options=tuple(_merge_options(config.options, [_option(entry) for entry in own.get("options") or ()])),
        )
    servers = _fit_servers(config.servers, warnings)
    searches = _fit_searches(config.searches, warnings)
    return PodDNS(
        config=DNSConfig(servers=servers, searches=searches, options=config.options), warnings=tuple(warnings)
    )


def _cluster_searches(namespace: str, domain: str, node: Iterable[str]) -> tuple[str, ...]:
    if not domain:
        return tuple(node)
    return _unique((f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *node))


def _unique(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entries))


def _option(entry: Mapping[str, Any]) -> str:
    value = entry.get("value")
    return f"{entry['name']}:{value}" if value else str(entry["name"])


def _merge_options(existing: Iterable[str], new: Iterable[str]) -> list[str]:
    """By name, the later one wins, in the order of first mention."""
    merged: dict[str, str] = {}
    for option in (*existing, *new):
        merged[option.partition(":")[0]] = option
    return list(merged.values())


def _fit_servers(servers: tuple[str, ...], warnings: list[tuple[str, str]]) -> tuple[str, ...]:
    if len(servers) <= MAX_SERVERS:
        return servers
    kept = servers[:MAX_SERVERS]
    warnings.append((
        "DNSConfigForming",
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        + " ".join(kept),
    ))  # fmt: skip
    return kept


def _fit_searches(searches: tuple[str, ...], warnings: list[tuple[str, str]]) -> tuple[str, ...]:
    kept = [entry for entry in searches[:MAX_SEARCHES] if len(entry) <= MAX_SEARCH_LENGTH]
    while kept and len(" ".join(kept)) > MAX_SEARCH_CHARS:
        kept.pop()
    if len(kept) != len(searches):
        warnings.append((
            "DNSConfigForming",
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
            + " ".join(kept),
        ))  # fmt: skip
    return tuple(kept)
