"""ValidatingAdmissionPolicy status: what type checking finds in a policy's expressions.

watches: ValidatingAdmissionPolicies.
owns: their status.typeChecking and status.observedGeneration.
writes: ValidatingAdmissionPolicies/status (server-side apply).
invariants: a generation of a policy is checked once, by the types there are then; what is found changes nothing of what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from steersman.client.api import APPLY_PATCH
from steersman.client.informer import Change
from steersman.controllers.runtime import DONE, Context, Controller, Result, Watch
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import VALIDATINGADMISSIONPOLICIES, Resource

if TYPE_CHECKING:
    from steersman.controllers.typechecking import PolicyTypes

NAME = "validatingadmissionpolicy-status-controller"
POLICY_WATCH = Watch(resource=VALIDATINGADMISSIONPOLICIES)
WATCHES = (POLICY_WATCH,)
_MANAGER = "validatingadmissionpolicy-status"


class Plan(Struct, frozen=True, kw_only=True):
    """The configuration to apply to the status; None: this generation has been checked."""

    status: Object | None = None


def is_checked(policy: Object) -> bool:
    generation: int = policy["metadata"].get("generation") or 0
    return generation <= ((policy.get("status") or {}).get("observedGeneration") or 0)


def plan(policy: Object, types: PolicyTypes) -> Plan:
    if is_checked(policy):
        return Plan()
    from steersman.controllers.typechecking import warnings

    found: Sequence[Object] = warnings(policy, types)
    checking: Object = {"expressionWarnings": found} if found else {}
    return Plan(status={"observedGeneration": policy["metadata"]["generation"], "typeChecking": checking})


class ValidatingAdmissionPolicyStatusController:
    """Reconciles one policy by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._policies = context.informer(POLICY_WATCH)

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        return (change.key,) if change.new is not None else ()

    async def reconcile(self, key: str) -> Result:
        policy = self._policies.get(key)
        if policy is None:
            self._context.expectations.forget(key)
            return DONE
        if is_checked(policy):
            return DONE
        from steersman.controllers.typechecking import SchemaSource  # CEL and schemas: most clusters have no policy

        client = self._context.client
        todo = plan(policy, await SchemaSource(client).types_of(policy))
        configuration: Object = {
            "apiVersion": VALIDATINGADMISSIONPOLICIES.api_version,
            "kind": VALIDATINGADMISSIONPOLICIES.kind,
            "metadata": {"name": objects.name(policy)},
            "status": todo.status,
        }
        updated = await client.patch(
            VALIDATINGADMISSIONPOLICIES,
            objects.name(policy),
            configuration,
            subresource="status",
            patch_type=APPLY_PATCH,
            field_manager=_MANAGER,
            force=True,
        )
        self._context.expectations.wrote(key, self._policies, updated)
        return DONE


def _conforms(context: Context) -> Controller:
    return ValidatingAdmissionPolicyStatusController(context)
