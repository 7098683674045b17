"""What admission plugins are given and how they answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from steersman.apiserver.authn.api import User
from steersman.apiserver.call import add_warning
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.kind import Kind

log = logging.getLogger(__name__)

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
OPERATIONS: tuple[Operation, ...] = ("CREATE", "UPDATE", "DELETE", "CONNECT")


class AdmissionRequest(Struct, kw_only=True):
    """One write on its way to the store.

    ``obj`` is what will be stored (None for DELETE), ``old`` what is stored (None for CREATE). Both are read-only: a
    mutating plugin returns a replacement, copied along the path it changes; the chain puts it into ``obj``.
    """

    operation: Operation
    kind: Kind
    """Of the resource in the URL, whatever the subresource takes."""
    namespace: str
    name: str
    """Empty for a create whose name is generated."""
    subresource: str = ""
    verb: str = ""
    """As authorization sees it: ``patch`` is an UPDATE, too."""
    obj: Object | None
    old: Object | None
    user: User
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """CreateOptions, UpdateOptions, DeleteOptions or the options of a CONNECT, as JSON."""
    warnings: list[str] = field(default_factory=list)
    """Texts for the response's Warning headers; see ``warn``."""
    annotations: dict[str, str] = field(default_factory=dict)
    """For the audit event; plugins add."""
    deadline_s: float | None = None
    """When the client stops waiting, in monotonic time; None: never."""
    round: int = 0
    """1 while mutation runs again because a webhook or a policy changed the object."""
    must_reinvoke: bool = False
    """Set by what changed the object in round 0: mutation runs once more, for those who ask for it."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What plugins keep from one round to the next, by their names."""

    def warn(self, text: str) -> None:
        """Send ``text`` in a Warning header."""
        add_warning(self.warnings, text)

    def annotate(self, key: str, value: str) -> None:
        """Add to the audit event, once for each key; keys are ``<DNS subdomain>/<name>``."""
        if not _is_annotation_key(key):
            log.warning("the audit annotation %r has no proper key", key)
        elif self.annotations.setdefault(key, value) != value:
            log.warning("the audit annotation %r is there already", key)


@lru_cache(maxsize=1024)
def _is_annotation_key(key: str) -> bool:
    """Keys are few: they are those of plugins and of policies."""
    return key.count("/") == 1 and not label_key_errors(key)


class MutatingPlugin(Protocol):
    """Changes objects before they are validated.

    A plugin with ``OPERATIONS``, ``RESOURCES`` (whatever their version) or ``SUBRESOURCES`` (empty: the object itself) is
    asked about those only. Of ``OPERATIONS``, metrics show only them, as upstream's do; the others just save the asking.
    """

    NAME: str

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        """The object that replaces ``request.obj``; None leaves it. Raises ``APIError`` to refuse."""


class ValidatingPlugin(Protocol):
    """Refuses objects after they were validated; may keep account (quota) of what it lets through. ``OPERATIONS`` as above."""

    NAME: str

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises ``APIError`` to refuse."""


AdmissionPlugin = MutatingPlugin | ValidatingPlugin


class Reader(Protocol):
    """Objects of the cluster as the watch cache of this API server has them: synchronous, immutable, consistent with
    every write this server has acknowledged."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        """All objects of ``resource``, of one namespace where that is given."""

    def revision(self, resource: Resource) -> int:
        """A number that rises whenever an object of ``resource`` changes, so that what was computed from them can be kept."""
