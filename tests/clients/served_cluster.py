"""A program: an embedded cluster with simulated nodes on the system's clock, served over TLS on loopback until killed.

    python -m tests.clients.served_cluster DIRECTORY

writes ``DIRECTORY/admin.kubeconfig`` and ``DIRECTORY/nobody.kubeconfig`` and, once everything is Ready, prints one line:
the port.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.apiserver.config import APIServerConfig, KubeletAccess, Listener
from steersman.apiserver.tls import server_context
from steersman.cluster import kubeconfigs
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.testing.cluster import Cluster

NODES = 2
USERS = {
    "admin": ("kubernetes-admin", ("system:masters",)),
    "nobody": ("nobody", ("nobodies",)),
}
"""Name of a kubeconfig: the user in its certificate, its groups."""


async def serve(directory: Path) -> None:
    clock = SystemClock()
    pki = ClusterPKI(directory, clock=clock)
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    serving = pki.pair("apiserver")
    listener = Listener(
        bind_address="127.0.0.1", port=0, certificate_file=str(serving.certificate), key_file=str(serving.key)
    )
    config = APIServerConfig(
        kubelets=KubeletAccess(preferred_address_types=("ExternalIP",)),  # simulated nodes are nowhere to be reached
        authorization_modes=("Node", "RBAC"),
        client_ca=pki.authority.pair.certificate.read_bytes(),
        service_account_keys=(pki.token_public_key.read_bytes(),),
        service_account_signing_key=pki.token_key.read_bytes(),
    )
    async with Cluster(nodes=NODES, clock=clock, config=config) as cluster:
        port = await cluster.server.serve("127.0.0.1", 0, tls=server_context(listener, config))
        for name, (user, groups) in USERS.items():
            document = kubeconfigs.document(
                server=f"https://127.0.0.1:{port}",
                authority=pki.authority.pair.certificate,
                identity=pki.ensure_client(name, user, groups),
                context="served",
                user=name,
            )
            kubeconfigs.write(directory / f"{name}.kubeconfig", document)
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(Path(sys.argv[1])))
