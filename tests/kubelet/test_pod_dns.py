"""A pod's resolv.conf, host name and hosts file."""

from __future__ import annotations

import pytest

from steersman.kubelet.pod_dns import parse_resolv_conf, pod_dns
from steersman.kubelet.pod_hostname import hosts_file, pod_hostname
from steersman.kubelet.runtimes.sandboxes import DNSConfig
from steersman.meta.objects import Object
from tests.kubelet.pods import pod

NODE = DNSConfig(servers=("192.0.2.53",), searches=("corp.example",), options=("rotate",))
CLUSTER = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")


def dns(obj: Object, *servers: str) -> DNSConfig:
    return pod_dns(obj, node=NODE, cluster_servers=servers, cluster_domain="cluster.local").config


def test_the_clusters_servers_come_first_by_default() -> None:
    found = dns(pod(), "10.96.0.10")
    assert (found.servers, found.searches, found.options) == (("10.96.0.10",), CLUSTER, ("ndots:5",))


def test_a_pod_on_the_nodes_network_uses_the_nodes_unless_it_says_otherwise() -> None:
    assert dns(pod(hostNetwork=True), "10.96.0.10") == NODE
    assert dns(pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"), "10.96.0.10").servers == ("10.96.0.10",)


def test_default_is_the_nodes_and_none_is_nothing() -> None:
    assert dns(pod(dnsPolicy="Default"), "10.96.0.10") == NODE
    own = {
        "nameservers": ["1.2.3.4"],
        "searches": ["x"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert dns(pod(dnsPolicy="None", dnsConfig=own)) == DNSConfig(
        servers=("1.2.3.4",), searches=("x",), options=("ndots:2", "edns0")
    )


def test_own_configuration_is_added_and_options_are_replaced_by_name() -> None:
    own = {"searches": ["cluster.local", "mine"], "options": [{"name": "ndots", "value": "2"}]}
    found = dns(pod(dnsConfig=own), "10.96.0.10")
    assert found.searches == (*CLUSTER, "mine")
    assert found.options == ("ndots:2",)


def test_limits_cut_and_say_so() -> None:
    own = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]}
    made = pod_dns(pod(dnsPolicy="None", dnsConfig=own), node=NODE, cluster_servers=(), cluster_domain="")
    assert made.config.servers == ("1.1.1.1", "2.2.2.2", "3.3.3.3")
    assert made.warnings[0][0] == "DNSConfigForming"


def test_without_cluster_dns_the_nodes_is_used_and_it_is_said() -> None:
    made = pod_dns(pod(), node=NODE, cluster_servers=(), cluster_domain="cluster.local")
    assert made.config == NODE
    assert made.warnings[0][0] == "MissingClusterDNS"


def test_resolv_conf_is_read_as_resolvers_read_it() -> None:
    text = "# c\nnameserver 1.1.1.1\nsearch a b.\nsearch c .\noptions ndots:1 rotate\noptions ndots:3\n"
    assert parse_resolv_conf(text) == DNSConfig(servers=("1.1.1.1",), searches=("c",), options=("ndots:3", "rotate"))


def test_hostnames() -> None:
    assert pod_hostname(pod(name="a" * 70), "x").name == "a" * 63
    named = pod_hostname(pod(hostname="me", subdomain="sub"), "cluster.local")
    assert (named.name, named.domain) == ("me", "sub.default.svc.cluster.local")
    assert named.kernel_name == "me"
    assert pod_hostname(pod(hostnameOverride="other", subdomain="sub"), "x").domain == ""
    full = pod_hostname(pod(hostname="me", subdomain="sub", setHostnameAsFQDN=True), "cluster.local")
    assert full.kernel_name == "me.sub.default.svc.cluster.local"
    with pytest.raises(ValueError, match="too long"):
        _ = pod_hostname(pod(hostname="m" * 60, subdomain="sub", setHostnameAsFQDN=True), "cluster.local").kernel_name


def test_hosts_file_has_the_pods_names_and_aliases() -> None:
    obj = pod(hostname="me", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = hosts_file(obj, pod_hostname(obj, "cluster.local"), ["10.0.0.2"], "")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.2\tme.sub.default.svc.cluster.local\tme\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_hosts_file_on_the_nodes_network_is_the_nodes() -> None:
    obj = pod(hostNetwork=True)
    text = hosts_file(obj, pod_hostname(obj, ""), [], "127.0.0.1 localhost\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"
