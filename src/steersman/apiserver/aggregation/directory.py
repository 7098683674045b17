"""Every APIService of the cluster, by what it serves: read from the watch cache, so that routing is as new as the last
acknowledged write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.aggregation.apiservice import LEGACY_NAME, APIService
from steersman.meta.resources import APISERVICES


class Directory:
    """The APIServices, parsed once per change."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._revision = -1
        self._by_name: Mapping[str, APIService] = {}
        self._remote: Mapping[str, APIService] = {}

    @property
    def revision(self) -> int:
        """Rises with every change of an APIService."""
        return self._reader.revision(APISERVICES)

    def all(self) -> Sequence[APIService]:
        return tuple(self._current().values())

    def get(self, name: str) -> APIService | None:
        return self._current().get(name)

    def remotes(self) -> Sequence[APIService]:
        """Those that another server serves."""
        self._current()
        return tuple(self._remote.values())

    def route(self, path: str) -> APIService | None:
        """The other server's APIService that ``path`` belongs to; None where this server answers.

        That somebody else serves the core group (it is possible) is not looked up for each of its requests: whoever
        follows the APIServices asks for them when they change.
        """
        if path.startswith("/apis/"):
            self._current()
            if not self._remote:
                return None
            group, _, rest = path[6:].partition("/")
            return self._remote.get(f"{rest.partition('/')[0]}.{group}")
        if self._remote and (path == "/api" or path.startswith("/api/")):
            return self._remote.get(LEGACY_NAME)
        return None

    def _current(self) -> Mapping[str, APIService]:
        revision = self._reader.revision(APISERVICES)
        if revision != self._revision:
            found = [APIService.of(obj) for obj in self._reader.list(APISERVICES)]
            self._by_name = {service.name: service for service in found}
            self._remote = {service.name: service for service in found if service.service is not None}
            self._revision = revision
        return self._by_name
