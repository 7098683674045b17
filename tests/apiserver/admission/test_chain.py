"""The chain asks the plugins that a request is the business of, in their order, and counts all that are on."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.admission.chain import AdmissionChain
from steersman.apiserver.admission.metrics import AdmissionMetrics
from steersman.meta.errors import Forbidden
from steersman.meta.resources import CONFIGMAPS, PODS
from tests.apiserver.admission.asking import asked
from tests.apiserver.builders import config_map, pod

METRIC = "apiserver_admission_controller_admission_duration_seconds_count"


class _Asked:
    """Notes that it was asked."""

    NAME = "Asked"

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    async def validate(self, request: AdmissionRequest) -> None:
        self._notes.append(self.NAME)


class _OfPods(_Asked):
    NAME = "OfPods"
    RESOURCES = (PODS,)
    SUBRESOURCES = ("",)


class _OfCreations(_Asked):
    NAME = "OfCreations"
    OPERATIONS = ("CREATE",)


class _Refusing(_Asked):
    NAME = "Refusing"

    async def validate(self, request: AdmissionRequest) -> None:
        raise Forbidden("no")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def chain(registry: CollectorRegistry, notes: list[str], *kinds: type[_Asked]) -> AdmissionChain:
    plugins = [kind(notes) for kind in kinds]
    return AdmissionChain(plugins, clock=FakeClock(), metrics=AdmissionMetrics(registry))


def counted(registry: CollectorRegistry, name: str, operation: str = "CREATE", rejected: str = "false") -> float:
    labels = {"name": name, "type": "validate", "operation": operation, "rejected": rejected}
    return registry.get_sample_value(METRIC, labels) or 0


async def test_a_plugin_is_asked_about_its_resources_only(registry: CollectorRegistry) -> None:
    notes: list[str] = []
    admission = chain(registry, notes, _OfPods, _Asked)
    await admission.validate(asked(CONFIGMAPS, config_map()))
    assert notes == ["Asked"]
    await admission.validate(asked(PODS, pod()))
    assert notes == ["Asked", "OfPods", "Asked"]
    await admission.validate(asked(PODS, pod(), pod(), subresource="status"))
    assert notes == ["Asked", "OfPods", "Asked", "Asked"]


async def test_who_is_not_asked_is_counted_as_if(registry: CollectorRegistry) -> None:
    admission = chain(registry, [], _OfPods, _Asked)
    for _ in range(3):
        await admission.validate(asked(CONFIGMAPS, config_map()))
    await admission.validate(asked(PODS, pod()))
    assert counted(registry, "OfPods") == counted(registry, "Asked") == 4


async def test_operations_that_a_plugin_does_not_take_are_not_counted(registry: CollectorRegistry) -> None:
    notes: list[str] = []
    admission = chain(registry, notes, _OfCreations)
    await admission.validate(asked(PODS, pod(), pod()))
    assert notes == []
    assert counted(registry, "OfCreations", "UPDATE") == 0


async def test_a_refusal_counts_for_those_up_to_it(registry: CollectorRegistry) -> None:
    notes: list[str] = []
    admission = chain(registry, notes, _OfPods, _Asked, _Refusing, _OfCreations)
    with pytest.raises(Forbidden):
        await admission.validate(asked(CONFIGMAPS, config_map()))
    assert notes == ["Asked"]
    assert [counted(registry, name) for name in ("OfPods", "Asked", "Refusing", "OfCreations")] == [1, 1, 0, 0]
    assert counted(registry, "Refusing", rejected="true") == 1
