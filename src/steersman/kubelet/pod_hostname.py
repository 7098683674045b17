"""The names a pod has for itself: host name and domain, and the /etc/hosts file that its containers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.kubelet.podspec import is_host_network
from steersman.meta import objects

HOSTNAME_LIMIT = 63
HEADER = "# Kubernetes-managed hosts file.\n"
HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


class PodHostname(Struct, frozen=True, kw_only=True):
    name: str
    domain: str = ""
    """``<subdomain>.<namespace>.svc.<cluster domain>``, empty without a subdomain."""
    fqdn: bool = False
    """``setHostnameAsFQDN``: the kernel's host name is the full name."""

    @property
    def kernel_name(self) -> str:
        """What ``hostname`` prints in the pod. Raises ``ValueError`` when the full name does not fit (64 bytes)."""
        if not (self.fqdn and self.domain):
            return self.name
        full = f"{self.name}.{self.domain}"
        if len(full) > 64:
            raise ValueError(
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long"
                f" (64 characters is the max, {len(full)} characters requested)"
            )
        return full


def pod_hostname(pod: Mapping[str, Any], cluster_domain: str) -> PodHostname:
    """Host name and domain by the pod's ``hostnameOverride``, ``hostname``, ``subdomain`` and name."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return PodHostname(name=_cut(spec["hostnameOverride"]))
    subdomain = spec.get("subdomain") or ""
    return PodHostname(
        name=_cut(spec.get("hostname") or objects.name(pod)),
        domain=f"{subdomain}.{objects.namespace(pod)}.svc.{cluster_domain}" if subdomain else "",
        fqdn=bool(spec.get("setHostnameAsFQDN")),
    )


def _cut(name: str) -> str:
    return name if len(name) <= HOSTNAME_LIMIT else name[:HOSTNAME_LIMIT].rstrip("-.")


def hosts_file(pod: Mapping[str, Any], hostname: PodHostname, ips: Sequence[str], node_hosts: str) -> str:
    """The pod's /etc/hosts; with the node's network it is the node's (``node_hosts``) and the pod's aliases."""
    aliases = "".join(_alias_lines(pod["spec"].get("hostAliases") or ()))
    if is_host_network(pod):
        return HEADER_HOST_NETWORK + node_hosts + aliases
    names = f"{hostname.name}.{hostname.domain}\t{hostname.name}" if hostname.domain else hostname.name
    return HEADER + _LOCAL + "".join(f"{ip}\t{names}\n" for ip in ips) + aliases


def _alias_lines(aliases: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    first = True
    for alias in aliases:
        if first:
            yield "\n# Entries added by HostAliases.\n"
            first = False
        tab = "\t"
        yield f"{alias['ip']}\t{tab.join(alias.get('hostnames') or ())}\n"
