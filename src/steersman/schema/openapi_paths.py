"""The operations that a registry's kinds offer, as values that both OpenAPI documents are written from.

Paths, operation ids, actions and tags are upstream's, so that generated clients find what they know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steersman.schema import definitions
from steersman.schema.customresources.operations import as_custom
from steersman.schema.kind import Kind, Subresource
from steersman.schema.openapi_operation import (
    DELETE_OPTIONS,
    META,
    OBJECTS,
    PATCH,
    PATCH_MEDIA_TYPES,
    STATUS,
    Operation,
    Produces,
)
from steersman.schema.registry import Registry

_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_DELETE_COLLECTION = (*_DELETE, *(name for name in _LIST if name not in ("allowWatchBookmarks", "watch")))
_CONNECT_METHODS: Mapping[str, Sequence[str]] = {
    "get": ("get", "head", "options"), "create": ("post",), "update": ("put",), "patch": ("patch",), "delete": ("delete",)
}  # fmt: skip
_CONNECT: Mapping[str, Sequence[str]] = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "log": (
        "container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous", "sinceSeconds", "stream",
        "tailLines", "timestamps",
    ),
    "portforward": ("ports",),
    "proxy": ("path",),
}  # fmt: skip


def group_version_path(group: str, version: str) -> str:
    """``api/v1`` or ``apis/apps/v1``: the key of a group and version in ``/openapi/v3``."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def operations(registry: Registry, group: str, version: str) -> list[Operation]:
    """All operations below one group and version."""
    path = f"/{group_version_path(group, version)}/"
    name = f"get{_camel(group)}{_upper(version)}APIResources"
    found = []
    if not is_custom(registry, group, version):
        found.append(_documents(path, name, "APIResourceList", _tag(group, version)))
    for kind in registry.kinds_of(group, version):
        found.extend(as_custom(_kind_operations(kind)) if kind.is_custom else _kind_operations(kind))
    return found


def is_custom(registry: Registry, group: str, version: str) -> bool:
    """All kinds are custom: then the documents leave out the group's and the version's own discovery."""
    kinds = registry.kinds_of(group, version)
    return bool(kinds) and all(kind.is_custom for kind in kinds)


def group_operations(group: str) -> list[Operation]:
    """Discovery of one group: ``/apis/apps/``; of the core group: ``/api/``."""
    if not group:
        return [_documents("/api/", "getCoreAPIVersions", "APIVersions", "core")]
    return [_documents(f"/apis/{group}/", f"get{_camel(group)}APIGroup", "APIGroup", _tag(group, ""))]


def server_operations() -> Mapping[str, list[Operation]]:
    """Operations that belong to no group, by their key in ``/openapi/v3``."""
    return {
        "apis": [_documents("/apis/", "getAPIVersions", "APIGroupList", "apis")],
        "version": [
            Operation(
                path="/version/",
                method="get",
                id="getCodeVersion",
                description="get the version information for this server",
                action="",
                tag="version",
                group_version_kind=None,
                answers="io.k8s.apimachinery.pkg.version.Info",
                produces="json",
                consumes=("application/json",),
            )
        ],
        ".well-known/openid-configuration": [
            _text(
                "/.well-known/openid-configuration/",
                "getServiceAccountIssuerOpenIDConfiguration",
                "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
                "WellKnown",
                "json",
            )
        ],
        "openid/v1/jwks": [
            _text(
                "/openid/v1/jwks/",
                "getServiceAccountIssuerOpenIDKeyset",
                "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
                "openid",
                "keys",
            )
        ],
    }


def _documents(path: str, name: str, answers: str, tag: str) -> Operation:
    descriptions = {"APIResourceList": "get available resources", "APIGroup": "get information of a group"}
    return Operation(
        path=path,
        method="get",
        id=name,
        description=descriptions.get(answers, "get available API versions"),
        action="",
        tag=tag,
        group_version_kind=None,
        answers=f"{META}.{answers}",
        consumes=OBJECTS,
    )


def _text(path: str, name: str, description: str, tag: str, produces: Produces) -> Operation:
    return Operation(
        path=path,
        method="get",
        id=name,
        description=description,
        action="",
        tag=tag,
        group_version_kind=None,
        produces=produces,
        consumes=(),
    )


def _upper(word: str) -> str:
    return word[:1].upper() + word[1:]


def _camel(group: str) -> str:
    """``RbacAuthorization`` for ``rbac.authorization.k8s.io``; ``Core`` for the core group."""
    return "".join(map(_upper, group.removesuffix(".k8s.io").split("."))) or "Core"


def _tag(group: str, version: str) -> str:
    camel = _camel(group)
    name = camel[:1].lower() + camel[1:]
    return f"{name}_{version}" if version else name


class _Names:
    """What the operations of one kind are called and where they are."""

    def __init__(self, kind: Kind) -> None:
        resource = kind.resource
        self.kind = kind
        self.own = (resource.group, resource.version, resource.kind)
        self.tag = _tag(resource.group, resource.version)
        self.prefix = f"{_camel(resource.group)}{_upper(resource.version)}"
        self.scoped = f"Namespaced{resource.kind}" if resource.namespaced else resource.kind
        self.root = resource.root
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        self.collection = f"{self.root}{scope}/{resource.plural}"
        self.item = f"{self.collection}/{{name}}"
        self.listed = kind.listed_definition


def _kind_operations(kind: Kind) -> Iterator[Operation]:
    names = _Names(kind)
    yield from _collection_operations(names)
    yield from _item_operations(names)
    for subresource in kind.subresources:
        if subresource.kind.endswith("Options"):
            yield from _connections(names, subresource)
        else:
            yield from _subresource_operations(names, subresource)
    if "watch" in kind.verbs:
        yield from _old_watches(names)


def _collection_operations(names: _Names) -> Iterator[Operation]:
    kind, noun = names.kind, names.own[2]
    if "list" in kind.verbs:
        verb = "list or watch" if "watch" in kind.verbs else "list"
        scopes = [(names.collection, names.scoped)]
        if kind.resource.namespaced:
            scopes.append((f"{names.root}/{kind.resource.plural}", f"{noun}ForAllNamespaces"))
        for path, scoped in scopes:
            yield Operation(
                path=path,
                method="get",
                id=f"list{names.prefix}{scoped}",
                description=f"{verb} objects of kind {noun}",
                action="list",
                tag=names.tag,
                group_version_kind=names.own,
                query=_LIST,
                answers=names.listed,
                produces="list",
            )
    if "create" in kind.verbs:
        yield Operation(
            path=names.collection,
            method="post",
            id=f"create{names.prefix}{names.scoped}",
            description=f"create {_one(kind)}",
            action="post",
            tag=names.tag,
            group_version_kind=names.own,
            query=_WRITE,
            body=kind.definition,
            answers=kind.definition,
            codes=(200, 201, 202),
        )
    if "deletecollection" in kind.verbs:
        yield Operation(
            path=names.collection,
            method="delete",
            id=f"delete{names.prefix}Collection{names.scoped}",
            description=f"delete collection of {noun}",
            action="deletecollection",
            tag=names.tag,
            group_version_kind=names.own,
            query=_DELETE_COLLECTION,
            body=DELETE_OPTIONS,
            answers=STATUS,
        )


def _item_operations(names: _Names) -> Iterator[Operation]:
    kind = names.kind
    for verb in ("get", "update", "patch"):
        if verb in kind.verbs:
            yield _item_operation(names, verb, "", kind.definition, kind.definition, names.own)
    if "delete" in kind.verbs:
        yield Operation(
            path=names.item,
            method="delete",
            id=f"delete{names.prefix}{names.scoped}",
            description=f"delete {_one(kind)}",
            action="delete",
            tag=names.tag,
            group_version_kind=names.own,
            query=_DELETE,
            body=DELETE_OPTIONS,
            answers=kind.definition if kind.returns_deleted_object else STATUS,
            codes=(200, 202),
        )


def _item_operation(
    names: _Names, verb: str, subresource: str, body: str, answers: str, about: tuple[str, str, str]
) -> Operation:
    """Reading, replacing or patching an object or a subresource of it."""
    method, action, word, codes, query = {
        "get": ("get", "get", "read", (200,), ()),
        "update": ("put", "put", "replace", (200, 201), _WRITE),
        "patch": ("patch", "patch", "partially update", (200, 201), (*_WRITE, "force")),
    }[verb]
    what = f"{subresource} of the specified" if subresource else "the specified"
    name = {"get": "read", "update": "replace", "patch": "patch"}[verb]
    return Operation(
        path=f"{names.item}/{subresource}" if subresource else names.item,
        method=method,
        id=f"{name}{names.prefix}{names.scoped}{_upper(subresource)}",
        description=f"{word} {what} {names.own[2]}",
        action=action,
        tag=names.tag,
        group_version_kind=about,
        query=query if (subresource, verb) != ("log", "get") else _CONNECT["log"],
        body={"get": "", "update": body, "patch": PATCH}[verb],
        answers="" if subresource == "log" else answers,
        codes=codes,
        produces="text" if subresource == "log" else "object",
        consumes=PATCH_MEDIA_TYPES if verb == "patch" else ("*/*",),
    )


def _subresource_operations(names: _Names, subresource: Subresource) -> Iterator[Operation]:
    about = _about(names, subresource)
    definition = definitions.by_kind(*about) or names.kind.definition
    for verb in ("get", "update", "patch"):
        if verb in subresource.verbs:
            yield _item_operation(names, verb, subresource.name, definition, definition, about)
    if "create" in subresource.verbs:
        yield Operation(
            path=f"{names.item}/{subresource.name}",
            method="post",
            id=f"create{names.prefix}{names.scoped}{_upper(subresource.name)}",
            description=f"create {subresource.name} of {_one(names.kind)}",
            action="post",
            tag=names.tag,
            group_version_kind=about,
            query=_WRITE,
            body=definition,
            answers=definition,
            codes=(200, 201, 202),
        )


def _about(names: _Names, subresource: Subresource) -> tuple[str, str, str]:
    """Group, version and kind of what a subresource takes and returns."""
    group, version, kind = names.own
    if subresource.version:
        group, version = subresource.group, subresource.version
    return group, version, subresource.kind or kind


def _connections(names: _Names, subresource: Subresource) -> Iterator[Operation]:
    """Subresources that are a connection: exec, attach, portforward, proxy; the proxy also for any path below it."""
    noun, suffix = names.own[2], _upper(subresource.name)
    proxies = subresource.name == "proxy"
    methods = [
        method
        for verb in sorted(subresource.verbs)
        for method in _CONNECT_METHODS[verb]
        if proxies or method in ("get", "post")
    ]
    paths = [(f"{names.item}/{subresource.name}", "")]
    if proxies:
        paths.append((f"{names.item}/proxy/{{path}}", "WithPath"))
    for path, ending in paths:
        for method in methods:
            yield Operation(
                path=path,
                method=method,
                id=f"connect{names.prefix}{_upper(method)}{names.scoped}{suffix}{ending}",
                description=f"connect {method.upper()} requests to {subresource.name} of {noun}",
                action="connect",
                tag=names.tag,
                group_version_kind=_about(names, subresource),
                query=_CONNECT.get(subresource.name, ()),
                produces="any",
            )


def _old_watches(names: _Names) -> Iterator[Operation]:
    """The deprecated paths below ``/watch/``."""
    noun, plural = names.own[2], names.kind.resource.plural
    namespaced = names.kind.resource.namespaced
    watch_root = f"{names.root}/watch"
    scope = "/namespaces/{namespace}" if namespaced else ""
    listed = f"watch individual changes to a list of {noun}. deprecated: use the 'watch' parameter with a list operation instead."
    single = (
        f"watch changes to an object of kind {noun}. deprecated: use the 'watch' parameter with a list operation instead, "
        "filtered to a single item with the 'fieldSelector' parameter."
    )
    watches = [
        (f"{watch_root}{scope}/{plural}", f"{names.scoped}List", "watchlist", listed),
        (f"{watch_root}{scope}/{plural}/{{name}}", names.scoped, "watch", single),
    ]
    if namespaced:
        watches.append((f"{watch_root}/{plural}", f"{noun}ListForAllNamespaces", "watchlist", listed))
    for path, scoped, action, description in watches:
        if "get" not in names.kind.verbs and action == "watch":
            continue
        yield Operation(
            path=path,
            method="get",
            id=f"watch{names.prefix}{scoped}",
            description=description,
            action=action,
            tag=names.tag,
            group_version_kind=names.own,
            query=_LIST,
            answers=f"{META}.WatchEvent",
            produces="list",
        )


def _one(kind: Kind) -> str:
    """``a Pod``, ``an APIService``; ``Endpoints`` is a plural already."""
    noun = kind.resource.kind
    if kind.singular == kind.resource.plural:
        return noun
    return f"an {noun}" if noun[:1] in "AEIOU" else f"a {noun}"
