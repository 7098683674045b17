"""Which programs a local cluster consists of, with which flags: the composition, computed from its configuration alone.

Three kinds of processes: the API server; the control plane's clients (controllers, scheduler, DNS) in one; and one for each
node (kubelet, service proxy, pod network). They are the same programs that run alone elsewhere (``steersman run`` puts
several into one process), and they meet in the API only.
"""

from __future__ import annotations

from collections.abc import Sequence

from steersman.cluster import machines, nodes
from steersman.cluster.configuration import ClusterConfig, Layout, NodeConfig
from steersman.cluster.launching import ProgramSpec, steersman

DNS_PORT = 1053
"""Where the DNS server listens on the machine; the Service ``kube-dns`` has port 53."""


def programs(config: ClusterConfig, layout: Layout) -> list[ProgramSpec]:
    """Every program of the cluster. What serves others has the lower order and stops later."""
    specs = [_api_server(config, layout), _control(config, layout)]
    specs += [_node(config, layout, node) for node in config.nodes]
    if config.simulated_nodes:
        specs.append(_simulated_nodes(config, layout))
    return specs


def api_server_flags(config: ClusterConfig, layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--store=sqlite:{layout.store}",
        "--bind-address=0.0.0.0",
        f"--secure-port={config.api_port}",
        f"--advertise-address={config.advertise_address}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--service-cluster-ip-range={config.service_cidr}",
        f"--service-account-issuer=https://kubernetes.default.svc.{config.dns_domain}",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--v={config.verbosity}",
    ]


def controller_manager_flags(config: ClusterConfig, layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        f"--kubeconfig={layout.kubeconfig('controller-manager')}",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        f"--cluster-cidr={config.pod_cidr}",
        "--allocate-node-cidrs=true",
        f"--service-cluster-ip-range={config.service_cidr}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
    ]


def scheduler_flags(config: ClusterConfig, layout: Layout) -> list[str]:
    return [f"--kubeconfig={layout.kubeconfig('scheduler')}", "--leader-elect=false"]


def dns_flags(config: ClusterConfig, layout: Layout, address: str) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig('dns')}",
        f"--cluster-domain={config.dns_domain}",
        f"--bind-address={address}",
        f"--port={DNS_PORT}",
    ]


def kubelet_flags(config: ClusterConfig, layout: Layout, node: NodeConfig) -> list[str]:
    pki = layout.pki
    return [
        f"--kubeconfig={layout.kubeconfig(f'kubelet-{node.name}')}",
        f"--container-runtime-endpoint=unix://{layout.containerd_socket(node.name)}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={layout.node(node.name)}/kubelet",
        f"--cgroup-root={nodes.cgroup_root(config, node)}",
        f"--cluster-dns={config.dns_address}",
        f"--cluster-domain={config.dns_domain}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/kubelet-{node.name}.crt",
        f"--tls-private-key-file={pki}/kubelet-{node.name}.key",
        # A developer's machine is taken as it is.
        "--fail-swap-on=false",
        "--fail-cgroupv1=false",
        # Nothing of this cluster is told by iptables, and a reset is to leave nothing.
        "--make-iptables-util-chains=false",
        # Nodes that share the machine's file system have logs of their own, so that none removes another's.
        *([f"--pod-log-dir={layout.node(node.name)}/logs/pods"] if node.kind == "namespace" else []),
    ]


def proxy_flags(config: ClusterConfig, layout: Layout, node: NodeConfig) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig('proxy')}",
        f"--cluster-cidr={config.pod_cidr}",
        f"--hostname-override={node.name}",
    ]


def network_flags(config: ClusterConfig, layout: Layout, node: NodeConfig) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig('network')}",
        f"--hostname-override={node.name}",
        f"--cluster-cidr={config.pod_cidr}",
        f"--cni-conf-dir={layout.node(node.name)}/cni",
        f"--ipam-data-dir={layout.node(node.name)}/addresses",
    ]


def _api_server(config: ClusterConfig, layout: Layout) -> ProgramSpec:
    argv = (*steersman(), "apiserver", *api_server_flags(config, layout))
    return ProgramSpec(name="apiserver", argv=argv, log=layout.logs / "apiserver.log", order=0)


def _control(config: ClusterConfig, layout: Layout) -> ProgramSpec:
    parts: list[tuple[str, Sequence[str]]] = [
        ("controller-manager", controller_manager_flags(config, layout)),
        ("scheduler", scheduler_flags(config, layout)),
    ]
    if config.nodes:
        parts.append(("dns", dns_flags(config, layout, config.machine_address)))
        if all(node.kind == "namespace" for node in config.nodes):
            # The API server reaches pods (proxies, webhooks) from the machine itself, which is no node then.
            parts.append(
                ("network", [f"--kubeconfig={layout.kubeconfig('network')}", "--routes-only"]),
            )
    return ProgramSpec(name="control", argv=_together(config, parts), log=layout.logs / "control.log", order=1)


def _node(config: ClusterConfig, layout: Layout, node: NodeConfig) -> ProgramSpec:
    parts = [
        ("kubelet", kubelet_flags(config, layout, node)),
        ("network", network_flags(config, layout, node)),
        ("proxy", proxy_flags(config, layout, node)),
    ]
    name = f"node-{node.name}" if not node.name.startswith("node-") else node.name
    return ProgramSpec(
        name=name,
        argv=_together(config, parts),
        log=layout.logs / f"{name}.log",
        network=str(machines.namespace_path(config, node) or ""),
        order=2,
    )


def _simulated_nodes(config: ClusterConfig, layout: Layout) -> ProgramSpec:
    argv = (
        *steersman(),
        "simulated-nodes",
        f"--kubeconfig={layout.kubeconfig('simulated-nodes')}",
        f"--count={config.simulated_nodes}",
        # Where they are all there is, pods are meant for them.
        "--tainted" if config.nodes else "--untainted",
        f"--v={config.verbosity}",
    )
    return ProgramSpec(name="simulated-nodes", argv=argv, log=layout.logs / "simulated-nodes.log", order=2)


def _together(config: ClusterConfig, parts: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    words: list[str] = [*steersman(), "run", f"--v={config.verbosity}"]
    for name, flags in parts:
        words += ["--", name, *flags]
    return tuple(words)
