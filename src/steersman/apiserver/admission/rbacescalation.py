"""No privilege escalation through RBAC: who writes a role or binding must hold what it grants, or may ``escalate``/``bind``.

Upstream checks this where roles are stored; here it is a plugin that is always on. Source: "Privilege escalation
prevention and bootstrapping" in the Kubernetes documentation.
"""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, Reader, ValidatingPlugin
from steersman.apiserver.authn.api import MASTERS_GROUP
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.authz.rbac import RBACAuthorizer
from steersman.apiserver.authz.rules import Rule, describe, uncovered
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES


class RBACEscalation:
    NAME = "RBACEscalation"
    RESOURCES = (ROLES, CLUSTERROLES, ROLEBINDINGS, CLUSTERROLEBINDINGS)

    def __init__(self, reader: Reader, authorizer: Authorizer, resolver: RBACAuthorizer) -> None:
        self._reader = reader
        self._authorizer = authorizer
        self._resolver = resolver

    async def validate(self, request: AdmissionRequest) -> None:
        resource, obj = request.kind.resource, request.obj
        if obj is None or request.operation not in ("CREATE", "UPDATE") or MASTERS_GROUP in request.user.groups:
            return
        if resource in (ROLES, CLUSTERROLES):
            old = request.old or {}
            unchanged = obj.get("rules") == old.get("rules") and obj.get("aggregationRule") == old.get(
                "aggregationRule"
            )
            if (request.old is not None and unchanged) or await self._may(
                request, "escalate", resource.plural, request.name
            ):
                return
            if obj.get("aggregationRule"):
                everything = [
                    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                    {"verbs": ["*"], "nonResourceURLs": ["*"]},
                ]
                self._check(request, everything)
            self._check(request, obj.get("rules") or [])
        elif resource in (ROLEBINDINGS, CLUSTERROLEBINDINGS):
            if request.old is not None and request.old.get("subjects") == obj.get("subjects"):
                return
            reference = obj.get("roleRef") or {}
            plural = CLUSTERROLES.plural if reference.get("kind") == "ClusterRole" else ROLES.plural
            if await self._may(request, "bind", plural, reference.get("name") or ""):
                return
            self._check(request, self._rules_of(request, reference))

    def _rules_of(self, request: AdmissionRequest, reference: Object) -> list[Object]:
        is_cluster = reference.get("kind") == "ClusterRole"
        namespace = "" if is_cluster else request.namespace
        resource = CLUSTERROLES if is_cluster else ROLES
        role = self._reader.get(resource, namespace, reference.get("name") or "")
        if role is None:
            raise Forbidden.of(
                request.kind.resource, request.name, f'{resource.group_resource} "{reference.get("name")}" not found'
            )
        return role.get("rules") or []

    async def _may(self, request: AdmissionRequest, verb: str, plural: str, name: str) -> bool:
        attributes = Attributes(
            user=request.user,
            verb=verb,
            namespace=request.namespace,
            group=ROLES.group,
            version=ROLES.version,
            resource=plural,
            name=name,
        )
        return (await self._authorizer.authorize(attributes)).allowed

    def _check(self, request: AdmissionRequest, rules: list[Object]) -> None:
        owned, problem = self._resolver.rules_for(request.user, request.namespace)
        missing = uncovered(owned, [Rule.of(rule) for rule in rules])
        if not missing:
            return
        user = request.user
        groups = " ".join(f'"{group}"' for group in user.groups)
        text = (
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
            f"{describe(missing)}"
        )
        if problem:
            text = f"{text}; resolution errors: {problem}"
        raise Forbidden.of(request.kind.resource, request.name, text)


def _conforms(reader: Reader, authorizer: Authorizer, resolver: RBACAuthorizer) -> ValidatingPlugin:
    return RBACEscalation(reader, authorizer, resolver)
