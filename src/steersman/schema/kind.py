"""What the API server has to know about one kind: the value that each file in ``groups/`` defines as ``KIND``.

A kind's structure (types, required fields, list types, merge keys) comes from its OpenAPI definition; what a schema cannot
say (defaults that depend on other fields, semantic validation, rules of status and generation) is written in its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Column(Struct, frozen=True, kw_only=True):
    """One column of ``kubectl get``: upstream's TableColumnDefinition and how its cell is computed."""

    name: str
    type: str = "string"
    """string, integer, number, boolean or date, as in OpenAPI."""
    format: str = ""
    description: str = ""
    documented_by: str = ""
    """Where the description is a field's own: ``<definition>/<property>``, e.g. ``io.k8s.api.core.v1.PodStatus/podIP``."""
    priority: int = 0
    """0 is always shown, 1 and more with ``-o wide``."""
    cell: Callable[[Object, float], Any]
    """(object, now as epoch seconds) -> the cell's JSON value."""


class Subresource(Struct, frozen=True, kw_only=True):
    """A path below an object, e.g. ``status``, ``scale``, ``eviction``, ``exec``."""

    name: str
    verbs: Sequence[str]
    kind: str = ""
    """The kind it takes and returns where that is not the object's own, with its group and version below."""
    group: str = ""
    version: str = ""
    """Empty: of the object's own group and version."""
    prepare_update: Callable[[Object, Object], None] | None = None
    """(new, old): where the subresource writes a part of the object, as ``status`` does (``ephemeralcontainers``, ``resize``,
    ``finalize``, ``approval``): keeps in ``new`` only what may be written here. ``status`` has its own hooks in ``Kind``."""
    validate_update: Callable[[Object, Object], list[FieldError]] | None = None
    """(new, old): all the rules of a write through this subresource."""


def _nothing(obj: Object) -> None:
    return None


def _no_errors(obj: Object) -> list[FieldError]:
    return []


def _no_update_errors(new: Object, old: Object) -> list[FieldError]:
    return []


def _no_preparation(new: Object, old: Object) -> None:
    return None


class Kind(Struct, frozen=True, kw_only=True):
    """A built-in kind in one served version.

    The hooks get objects that they may change in place *on the paths they own*: the caller has copied the top level, metadata,
    spec and status; deeper values are shared and must be replaced, not changed. ``default`` gets a whole private copy.
    Order on a write: decode -> default -> prepare -> (mutating admission -> default) -> validate -> (validating admission)
    -> commit.
    """

    resource: Resource
    definition: str
    """Name of its OpenAPI definition, e.g. ``io.k8s.api.core.v1.Pod``."""
    singular: str
    list_kind: str = ""
    """Kind of its lists; empty: its own with ``List`` appended."""
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    verbs: Sequence[str] = STANDARD_VERBS
    listed_verbs: Sequence[str] = ()
    """Verbs that discovery lists, where those are fewer than what is answered; empty: ``verbs``."""
    subresources: Sequence[Subresource] = ()
    storage_prefix: str
    """Where it is stored below ``/registry/``, as upstream lays it out: ``pods``, ``services/specs``, ``minions``."""
    storage_version: str = ""
    """Version that is stored where a kind is served in several; empty: this one. Versions convert through ``convert``."""
    storage_group: str | None = None
    """Group of what is stored where it is another one (``events.k8s.io`` shares core's events); None: this one."""
    columns: Sequence[Column] = ()
    cells: Callable[[Object, float], list[Any]] | None = None
    """All cells of a row at once, where several have one source; None: those of ``columns``."""
    printed: Any = None
    """A ``TypedDict`` of what cells and ``row_conditions`` read, for kinds of large objects that are listed by the thousand; None: anything."""
    row_order: Callable[[Object], Any] | None = None
    """What the rows of a list's Table are sorted by; None: names, as they are listed."""
    row_conditions: Callable[[Object], list[Object]] | None = None
    """Conditions of the object's row in a Table, e.g. Completed for finished pods, by which clients filter."""
    selectable_fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    """Field selectors beyond ``metadata.name`` and ``metadata.namespace``."""
    unselectable: str = "field label not supported: {field}"
    """What is said of other fields by kinds that have any of their own."""
    deprecation: str = ""
    """Text of a Warning header of every answer."""
    name_errors: Callable[[str], list[str]] | None = None
    """What is wrong with a name; None: a DNS subdomain."""
    qualifies_finalizers: bool = True
    """A finalizer that is none of the standard ones needs a slash: true of the kinds that core's validation is for."""
    allows_create_on_update: bool = False
    """PUT of an absent object creates it."""
    allows_unconditional_update: bool = True
    """PUT without a resourceVersion overwrites."""
    returns_deleted_object: bool = False
    """DELETE answers with the object rather than with a Status, also when it is gone at once."""
    has_status: bool = False
    """Has a status subresource: ``status`` is dropped on create and kept from the old object on a main update."""
    keeps_status_on_create: bool = False
    """With ``has_status``: ``status`` may be given on create (nodes register with theirs)."""
    counts_generation: bool = False
    """metadata.generation starts at 1 and rises when anything but metadata and status changes."""
    default: Callable[[Object], None] = _nothing
    prepare_create: Callable[[Object], None] = _nothing
    """Beyond dropping status and setting generation, which the server does by the flags above."""
    prepare_update: Callable[[Object, Object], None] = _no_preparation
    """(new, old)."""
    prepare_status_update: Callable[[Object, Object], None] = _no_preparation
    stamp: Callable[[Object, Object, float], None] | None = None
    """(new, old, now as epoch seconds): fills in the times that a write of a subresource leaves to the server."""
    validate: Callable[[Object], list[FieldError]] = _no_errors
    """Semantic rules of a created or updated object; its structure is known to be right."""
    validate_create: Callable[[Object], list[FieldError]] = _no_errors
    """Rules of new objects only, on top of ``validate``."""
    validate_created: Callable[[Object], list[FieldError]] | None = None
    """All the rules of new objects, for kinds whose own of those stand between the others; None: ``validate``, then
    ``validate_create``."""
    validate_update: Callable[[Object, Object], list[FieldError]] = _no_update_errors
    """(new, old): immutable fields and transitions, on top of ``validate(new)``."""
    validate_status_update: Callable[[Object, Object], list[FieldError]] = _no_update_errors
    warnings: Callable[[Object], list[str]] | None = None
    """Texts for Warning headers about a created object, and an updated one where ``update_warnings`` is None."""
    update_warnings: Callable[[Object, Object], list[str]] | None = None
    """(new, old): those about an updated object."""
    status_warnings: Callable[[Object], list[str]] | None = None
    """Those about a status that was written."""
    convert: Callable[[Object, str], Object] | None = None
    """(object of the storage version or of this one, wanted apiVersion, e.g. ``autoscaling/v2``) -> copy in that version."""
    grace_period_s: Callable[[Object], int] | None = None
    """Kinds that are deleted gracefully (pods): default grace period in seconds."""
    is_deleted_at_once: Callable[[Object], bool] | None = None
    """Kinds that are deleted gracefully: no grace period applies, whatever was asked for (a pod on no node, or finished)."""
    begin_deletion: Callable[[Object, float], Object] | None = None
    """(object, now as epoch seconds) -> the object as its deletion begins, with what the server itself has to clean up."""
    delete_returns_object: bool = False
    """DELETE answers with the deleted object rather than a Status."""
    is_custom: bool = False
    """Defined by a CustomResourceDefinition rather than built in."""
    is_stored: bool = True
    """False for reviews and the like, which are answered and never stored (create is their only verb)."""

    @property
    def listed_definition(self) -> str:
        """Name of the OpenAPI definition of its lists."""
        if not self.list_kind:
            return f"{self.definition}List"
        return f"{self.definition.rpartition('.')[0]}.{self.list_kind}"

    def subresource(self, name: str) -> Subresource:
        """Raises ``KeyError``."""
        for subresource in self.subresources:
            if subresource.name == name:
                return subresource
        raise KeyError(name)
