"""Whom a request can be made as, and what each of them is called when it is asked whether one may.

Each mode of constrained impersonation (KEP-5284) is for one sort of users: nodes, service accounts, everybody else.
Legacy impersonation knows service accounts and users.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from steersman.apiserver.authn.api import User
from steersman.meta.names import label_errors, subdomain_errors

NODES_GROUP = "system:nodes"
_NODE = "system:node:"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_NODE_NAME_EXTRA = "authentication.kubernetes.io/node-name"


class Subject(Struct, frozen=True, kw_only=True):
    """The user of an impersonation as authorization sees it."""

    resource: str
    namespace: str = ""
    name: str
    groups: tuple[str, ...] = ()
    """What the user is a member of by being one of these; only where no groups are asked for."""


SubjectOf = Callable[[User, User], Subject | None]
"""(the user who is wanted, the user who asks) -> what has to be allowed; None: the mode is not for that user."""


def legacy_user(wanted: User, requestor: User) -> Subject | None:
    return _service_account(wanted.name) or Subject(resource="users", name=wanted.name)


def other_user(wanted: User, requestor: User) -> Subject | None:
    """Users whose names have no meaning to Kubernetes."""
    if _node_name(wanted.name) or _service_account(wanted.name):
        return None
    return Subject(resource="users", name=wanted.name)


def service_account(wanted: User, requestor: User) -> Subject | None:
    return _service_account(wanted.name) if _is_named_only(wanted) else None


def arbitrary_node(wanted: User, requestor: User) -> Subject | None:
    name = _node_name(wanted.name) if _is_named_only(wanted) else ""
    return Subject(resource="nodes", name=name, groups=(NODES_GROUP,)) if name else None


def associated_node(wanted: User, requestor: User) -> Subject | None:
    """The node on which the pod runs whose service account asks: whichever that is, so one asks about all nodes."""
    name = _node_name(wanted.name) if _is_named_only(wanted) else ""
    if not name or _service_account(requestor.name) is None or requestor.extra.get(_NODE_NAME_EXTRA) != (name,):
        return None
    return Subject(resource="nodes", name="*", groups=(NODES_GROUP,))


def _is_named_only(user: User) -> bool:
    return not (user.uid or user.groups or user.extra)


def _node_name(username: str) -> str:
    """The node that is called ``username`` as a user; "" where that is none."""
    name = username.removeprefix(_NODE)
    return name if name != username and not subdomain_errors(name) else ""


def _service_account(username: str) -> Subject | None:
    if not username.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, separator, name = username.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if not separator or label_errors(namespace) or subdomain_errors(name):
        return None
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return Subject(resource="serviceaccounts", namespace=namespace, name=name, groups=groups)
