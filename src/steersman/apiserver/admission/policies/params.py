"""Parameters of policies: the objects that a binding's ``paramRef`` means for a request.

Source: "Parameter resources" in the documentation of ValidatingAdmissionPolicy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, Reader
from steersman.apiserver.admission.policies.kinds import PolicyKinds
from steersman.apiserver.admission.policies.policy import Binding, Policy
from steersman.meta.objects import Object, labels
from steersman.meta.resources import Resource
from steersman.meta.selectors import label_selector_of


class Misconfigured(Exception):
    """A policy or a binding cannot be used: ``failurePolicy`` decides what that means."""


def param_resource(policy: Policy, kinds: PolicyKinds) -> Resource | None:
    """The resource of the parameters; None where the policy takes none. Raises ``Misconfigured`` where it is not served."""
    if policy.param_kind is None:
        return None
    resource = kinds.resource_of(policy.param_kind.api_version, policy.param_kind.kind)
    if resource is None:
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{policy.param_kind}'")
    return resource


def params_of(
    binding: Binding, resource: Resource | None, request: AdmissionRequest, reader: Reader
) -> Sequence[Object | None]:
    """The parameters to evaluate with, one after the other; None stands for no parameters. Empty: the binding does not apply.

    Raises ``Misconfigured``.
    """
    reference = binding.param_ref
    if resource is None or reference is None:
        return (None,)
    found = _found(reference, resource, _namespace(reference, resource, request), reader)
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _namespace(reference: Mapping[str, Any], resource: Resource, request: AdmissionRequest) -> str:
    own: str = reference.get("namespace") or ""
    if not resource.namespaced:
        if own:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    namespace = own or request.namespace
    if not namespace:
        raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    return namespace


def _found(reference: Mapping[str, Any], resource: Resource, namespace: str, reader: Reader) -> Sequence[Object]:
    if reference.get("name"):
        found = reader.get(resource, namespace, reference["name"])
        return () if found is None else (found,)
    selector = label_selector_of(reference.get("selector"))
    return [obj for obj in reader.list(resource, namespace) if selector.matches(labels(obj))]
