"""All credentials that a pod may pull an image with, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from steersman.kubelet.image_names import repository_of
from steersman.kubelet.registry_credentials.docker_config import NodeFiles, keyring_of_secrets
from steersman.kubelet.registry_credentials.keyring import Credential, Keyring, union
from steersman.kubelet.registry_credentials.provider import Providers


class RegistryCredentials:
    """The pod's secrets come first, then the node's files, then what plugins say."""

    def __init__(self, node: NodeFiles | None = None, providers: Providers | None = None) -> None:
        self._node = node
        self._providers = providers or Providers()

    async def of(self, image: str, pod: Mapping[str, Any], secrets: Iterable[Mapping[str, Any]]) -> list[Credential]:
        """Raises ``InvalidDockerConfig`` where a secret cannot be read."""
        repository = repository_of(image)
        keyrings = [
            keyring_of_secrets(secrets),
            self._node.keyring() if self._node is not None else Keyring(),
            await self._providers.keyring(repository, pod),
        ]
        return union(repository, keyrings)
