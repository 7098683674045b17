"""Which devices claims get on a node, one rule a test."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from steersman.meta.objects import Object
from steersman.scheduler.devices.allocation import Search, TooManySteps
from steersman.scheduler.devices.ledger import Ledger
from steersman.scheduler.devices.requests import AllocationError, read_claim
from steersman.scheduler.devices.results import allocation_result
from steersman.scheduler.devices.selectors import Selectors
from steersman.scheduler.devices.slices import Inventory, read_slice
from tests.scheduler.builders import cluster_of, node
from tests.scheduler.devices.builders import (
    DRIVER,
    allocated,
    claim,
    device,
    device_class,
    request,
    resource_slice,
    wanted,
    with_devices,
)

NODE = node("n", labels={"zone": "a"})


def results(
    slices: list[Object],
    *claims: Object,
    taken: tuple[Object, ...] = (),
    classes: tuple[Object, ...] = (),
    where: Object = NODE,
    step_limit: int = 10_000,
) -> list[Object] | None:
    """The allocation of each claim; None where there is none."""
    by_name = {each["metadata"]["name"]: each for each in classes or (device_class(),)}
    ledger = Ledger()
    ledger.follow(with_devices(cluster_of(), claims=taken))
    solutions = Search(
        claims=[read_claim(each) for each in claims],
        pools=Inventory([read_slice(each) for each in slices]).pools(where),
        classes=by_name,
        ledger=ledger,
        selectors=Selectors(),
        step_limit=step_limit,
    ).solve()
    return None if solutions is None else [allocation_result(each, by_name, where) for each in solutions]


def devices(slices: list[Object], *claims: Object, **options: Any) -> list[list[str]] | None:
    """The names of the devices of each claim."""
    found = results(slices, *claims, **options)
    return None if found is None else [[entry["device"] for entry in each["devices"]["results"]] for each in found]


def test_the_first_device_in_the_order_of_pools_slices_and_devices_is_taken() -> None:
    slices = [
        resource_slice("z", device("z1"), pool="b"),
        resource_slice("y", device("y1"), device("y2"), pool="a", count=2),
        resource_slice("x", device("x1"), pool="a", count=2),
    ]
    assert devices(slices, claim("c", request(count=4))) == [["x1", "y1", "y2", "z1"]]


def test_a_device_is_given_to_one_claim_only() -> None:
    slices = [resource_slice("s", device("d1"), device("d2"))]
    assert devices(slices, claim("a"), claim("b")) == [["d1"], ["d2"]]
    assert devices(slices, claim("a"), taken=(allocated("other", ("pool", "d1")),)) == [["d2"]]
    assert devices(slices, claim("a"), claim("b"), claim("c")) is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('device.driver == "gpu.example.com"', "d1"),
        ('device.attributes["gpu.example.com"].model == "big"', "d2"),
        ('device.attributes["other.example.com"].?model.orValue("") == "odd"', "d3"),
        ('device.attributes["gpu.example.com"].index > 1', "d3"),
        ('device.attributes["gpu.example.com"].version.compareTo(semver("2.0.0")) >= 0', "d2"),
        ('device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0', "d2"),
        ('cel.bind(gpu, device.attributes["gpu.example.com"], gpu.index == 1 && gpu.fast)', "d2"),
        ('has(device.attributes["no.example.com"].thing)', None),
        ('"no.example.com" in device.attributes', None),
    ],
)
def test_selectors_see_the_device(expression: str, expected: str | None) -> None:
    def made(name: str, index: int, model: str, memory: str, version: str, **more: Any) -> Object:
        attributes = {"index": index, "model": model, "fast": index == 1, "version": {"version": version}, **more}
        return device(name, attributes=attributes, capacity={"memory": memory})

    odd = {"other.example.com/model": "odd"}
    slices = [resource_slice("s", made("d1", 0, "small", "4Gi", "1.2.3"), made("d2", 1, "big", "16Gi", "2.0.1"),
                             made("d3", 2, "small", "8Gi", "1.9.0", **odd))]  # fmt: skip
    assert devices(slices, claim("c", request("r", expression))) == (None if expected is None else [[expected]])


def test_selectors_of_the_class_and_of_the_request_must_all_match() -> None:
    slices = [resource_slice("s", *(device(f"d{index}", attributes={"index": index}) for index in range(4)))]
    at_least_two = device_class("gpu", f'device.attributes["{DRIVER}"].index >= 2')
    odd = request("r", f'device.attributes["{DRIVER}"].index % 2 == 1')
    assert devices(slices, claim("c", odd), classes=(at_least_two,)) == [["d3"]]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("device.driver +", r"claim default/c: selector #0: CEL compile error: "),
        ("device.nonsense", r"claim default/c: selector #0: CEL compile error: "),
        (
            "1 + 1",
            r"claim default/c: selector #0: CEL compile error: must evaluate to bool or the unknown type, not int",
        ),
        ('device.attributes["x"].missing', r"claim default/c: selector #0: CEL runtime error: no such key: missing"),
    ],
)
def test_a_broken_selector_is_an_error_that_names_it(expression: str, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        devices([resource_slice("s", device("d"))], claim("c", request("r", expression)))


def test_selectors_are_not_asked_about_devices_that_are_in_use() -> None:
    broken = request("second", 'device.attributes["x"].missing')
    assert devices([resource_slice("s", device("d"))], claim("c", request("first"), broken)) is None
    assert (
        devices([resource_slice("s", device("d"))], claim("c", broken), taken=(allocated("other", ("pool", "d")),))
        is None
    )


def test_requests_backtrack_until_all_have_what_they_need() -> None:
    slices = [
        resource_slice("s", device("both", attributes={"a": True, "b": True}), device("onlya", attributes={"a": True}))
    ]
    needs_a = request("ra", f'has(device.attributes["{DRIVER}"].a)')
    needs_b = request("rb", f'has(device.attributes["{DRIVER}"].b)')
    assert devices(slices, claim("c", needs_a, needs_b)) == [["onlya", "both"]]


class TestConstraints:
    SLICES: ClassVar[Any] = [
        resource_slice("s", device("a0", attributes={"numa": 0}), device("b1", attributes={"numa": 1}),
                       device("c1", attributes={"numa": 1}), device("d", attributes={"other": 1}))
    ]  # fmt: skip

    def test_match_attribute_keeps_devices_together(self) -> None:
        together = [{"matchAttribute": f"{DRIVER}/numa"}]
        assert devices(self.SLICES, claim("c", request(count=2), constraints=together)) == [["b1", "c1"]]
        assert devices(self.SLICES, claim("c", request(count=3), constraints=together)) is None

    def test_distinct_attribute_keeps_them_apart(self) -> None:
        apart = [{"distinctAttribute": f"{DRIVER}/numa"}]
        assert devices(self.SLICES, claim("c", request(count=2), constraints=apart)) == [["a0", "b1"]]
        assert devices(self.SLICES, claim("c", request(count=3), constraints=apart)) is None

    def test_only_the_named_requests_are_concerned(self) -> None:
        some = [{"matchAttribute": f"{DRIVER}/numa", "requests": ["x"]}]
        assert devices(self.SLICES, claim("c", request("x", count=2), request("y"), constraints=some)) == [
            ["b1", "c1", "a0"]
        ]

    def test_all_devices_that_cannot_be_together_are_an_error(self) -> None:
        everything = request("r", allocationMode="All")
        with pytest.raises(
            AllocationError, match=r"cannot add device gpu.example.com/pool/b1 because a claim constraint"
        ):
            devices(self.SLICES, claim("c", everything, constraints=[{"matchAttribute": f"{DRIVER}/numa"}]))


class TestAll:
    EVERYTHING: ClassVar[Any] = request("r", allocationMode="All")

    def test_every_matching_device_is_given(self) -> None:
        slices = [resource_slice("s", device("d1"), device("d2"))]
        assert devices(slices, claim("c", self.EVERYTHING)) == [["d1", "d2"]]

    def test_one_that_is_taken_is_one_too_many(self) -> None:
        slices = [resource_slice("s", device("d1"), device("d2"))]
        assert devices(slices, claim("c", self.EVERYTHING), taken=(allocated("o", ("pool", "d2")),)) is None

    def test_none_is_not_all(self) -> None:
        assert devices([resource_slice("s")], claim("c", self.EVERYTHING)) is None

    def test_a_pool_that_is_being_published_is_waited_for(self) -> None:
        slices = [resource_slice("s", device("d1"), count=2)]
        with pytest.raises(
            AllocationError,
            match=r"asks for all devices, but resource pool gpu.example.com/pool is currently being updated",
        ):
            devices(slices, claim("c", self.EVERYTHING))


class TestAlternatives:
    SLICES: ClassVar[Any] = [
        resource_slice("s", device("small", attributes={"size": 1}), device("large", attributes={"size": 2}))
    ]
    EITHER: ClassVar[Any] = {"name": "r", "firstAvailable": [
        {"name": "big", **wanted(f'device.attributes["{DRIVER}"].size == 2')},
        {"name": "little", **wanted(f'device.attributes["{DRIVER}"].size == 1')},
    ]}  # fmt: skip

    def test_the_first_alternative_that_can_be_had_is_taken(self) -> None:
        assert devices(self.SLICES, claim("c", self.EITHER)) == [["large"]]
        found = results(self.SLICES, claim("c", self.EITHER), taken=(allocated("o", ("pool", "large")),))
        assert found is not None
        assert found[0]["devices"]["results"][0] == {
            "request": "r/little", "driver": DRIVER, "pool": "pool", "device": "small",
        }  # fmt: skip

    def test_an_alternative_that_needs_too_many_devices_is_passed_over(self) -> None:
        slices = [resource_slice("s", *(device(f"d{number}") for number in range(40)))]
        many = {
            "name": "r",
            "firstAvailable": [{"name": "lots", **wanted(count=30)}, {"name": "few", **wanted(count=2)}],
        }
        found = devices(slices, claim("c", request("first", count=10), many))
        assert found is not None
        assert len(found[0]) == 12


class TestSlices:
    def test_only_slices_of_the_newest_generation_count(self) -> None:
        slices = [resource_slice("old", device("o")), resource_slice("new", device("n"), generation=2)]
        assert devices(slices, claim()) == [["n"]]

    def test_nothing_is_taken_of_a_pool_that_is_incomplete(self) -> None:
        slices = [resource_slice("s", device("d"), count=2), resource_slice("t", device("e"), pool="other")]
        assert devices(slices, claim()) == [["e"]]

    def test_nothing_is_taken_of_a_pool_with_a_name_twice(self) -> None:
        slices = [resource_slice("s", device("d"), count=2), resource_slice("t", device("d"), count=2)]
        assert devices(slices, claim()) is None

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ({"nodeName": "n"}, True),
            ({"nodeName": "m"}, False),
            ({"allNodes": True}, True),
            ({"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a"]}]}]}}, True),
            ({"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["b"]}]}]}}, False),
        ],
    )  # fmt: skip
    def test_devices_are_for_some_nodes(self, spec: Object, expected: bool) -> None:
        made = resource_slice("s", device("d"), perDeviceNodeSelection=None)
        made["spec"] |= spec
        assert devices([made], claim()) == ([["d"]] if expected else None)
        per_device = resource_slice("s", device("d", **spec), perDeviceNodeSelection=True)
        assert devices([per_device], claim()) == ([["d"]] if expected else None)

    def test_the_allocation_says_from_where_its_devices_can_be_used(self) -> None:
        local = results([resource_slice("s", device("d"), node="n")], claim())
        zonal = results(
            [resource_slice("s", device("d"), nodeSelector={"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a"]}]}]})], claim())  # fmt: skip
        everywhere = results([resource_slice("s", device("d"))], claim())
        bound = results([resource_slice("s", device("d", bindsToNode=True))], claim())
        only_n = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]}
        assert local and zonal and everywhere and bound
        assert local[0]["nodeSelector"] == bound[0]["nodeSelector"] == only_n
        assert zonal[0]["nodeSelector"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["a"]
        assert "nodeSelector" not in everywhere[0]


class TestTaints:
    SLICES: ClassVar[Any] = [
        resource_slice("s", device("bad", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]), device("good"))
    ]

    @pytest.mark.parametrize(
        ("toleration", "expected"),
        [
            ({}, "bad"),
            ({"key": "k", "operator": "Exists"}, "bad"),
            ({"key": "k", "value": "v"}, "bad"),
            ({"key": "k", "value": "w"}, "good"),
            ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, "good"),
        ],
    )
    def test_tainted_devices_need_a_toleration(self, toleration: Object, expected: str) -> None:
        tolerations = [toleration or {"operator": "Exists"}]
        assert devices(self.SLICES, claim("c", request(tolerations=tolerations))) == [[expected]]

    def test_taints_that_are_only_told_do_not_matter(self) -> None:
        slices = [resource_slice("s", device("d", taints=[{"key": "k", "effect": "None"}]))]
        assert devices(slices, claim()) == [["d"]]

    def test_the_allocation_carries_the_tolerations(self) -> None:
        found = results(self.SLICES, claim("c", request(tolerations=[{"operator": "Exists"}])))
        assert found is not None
        assert found[0]["devices"]["results"][0]["tolerations"] == [{"operator": "Exists"}]


def test_admin_access_gives_devices_that_are_in_use_and_does_not_take_them() -> None:
    slices = [resource_slice("s", device("d"))]
    admin = request(adminAccess=True)
    taken = (allocated("o", ("pool", "d")),)
    found = results(slices, claim("c", admin), taken=taken)
    assert found is not None
    assert found[0]["devices"]["results"][0]["adminAccess"] is True
    monitoring = claim("m", status={"allocation": found[0]})
    assert devices(slices, claim("c"), taken=(monitoring,)) == [["d"]]


class TestCounters:
    """A card of 4 slots that can be used whole or in parts."""

    COUNTERS: ClassVar[Any] = resource_slice(
        "counters", count=2, sharedCounters=[{"name": "card", "counters": {"slots": {"value": "4"}}}]
    )

    @staticmethod
    def part(name: str, slots: str) -> Object:
        return device(name, consumesCounters=[{"counterSet": "card", "counters": {"slots": {"value": slots}}}])

    def slices(self, *parts: Object) -> list[Object]:
        return [self.COUNTERS, resource_slice("parts", *parts, count=2)]

    def test_parts_are_given_out_until_the_counters_are_used_up(self) -> None:
        parts = [self.part("half1", "2"), self.part("half2", "2"), self.part("half3", "2")]
        assert devices(self.slices(*parts), claim("a"), claim("b")) == [["half1"], ["half2"]]
        assert devices(self.slices(*parts), claim("a"), claim("b"), claim("c")) is None

    def test_what_is_allocated_already_counts(self) -> None:
        slices = self.slices(self.part("whole", "4"), self.part("half", "2"), self.part("quarter", "1"))
        taken = (allocated("o", ("pool", "half")),)
        assert devices(slices, claim("a"), taken=taken) == [["quarter"]]

    def test_a_device_with_an_unknown_counter_makes_the_pool_unusable(self) -> None:
        odd = device("odd", consumesCounters=[{"counterSet": "card", "counters": {"nothing": {"value": "1"}}}])
        assert devices(self.slices(self.part("half", "2"), odd), claim("a")) is None


class TestShares:
    """A device whose capacity is divided among claims."""

    POLICY: ClassVar[Any] = {
        "value": "10Gi",
        "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}},
    }
    SLICES: ClassVar[Any] = [
        resource_slice("s", device("d", capacity={"memory": POLICY}, allowMultipleAllocations=True))
    ]

    @staticmethod
    def asking(name: str, memory: str = "") -> Object:
        return claim(name, request(capacity={"requests": {"memory": memory}}) if memory else request())

    def test_each_claim_gets_a_share(self) -> None:
        found = results(self.SLICES, self.asking("a", "3Gi"), self.asking("b", "2500Mi"), self.asking("c"))
        assert found is not None
        shares = [each["devices"]["results"][0] for each in found]
        assert [share["consumedCapacity"] for share in shares] == [
            {"memory": "3Gi"},
            {"memory": "3Gi"},
            {"memory": "1Gi"},
        ]
        assert len({share["shareID"] for share in shares}) == 3

    def test_no_more_is_given_out_than_there_is(self) -> None:
        assert devices(self.SLICES, self.asking("a", "6Gi"), self.asking("b", "5Gi")) is None
        found = results(self.SLICES, self.asking("a", "6Gi"))
        assert found is not None
        taken = claim("a", status={"allocation": found[0]})
        assert devices(self.SLICES, self.asking("b", "5Gi"), taken=(taken,)) is None
        assert devices(self.SLICES, self.asking("b", "4Gi"), taken=(taken,)) == [["d"]]

    def test_a_capacity_that_the_device_does_not_have_cannot_be_asked_for(self) -> None:
        assert devices(self.SLICES, claim("a", request(capacity={"requests": {"bandwidth": "1"}}))) is None

    def test_without_a_policy_a_request_without_amount_takes_everything(self) -> None:
        slices = [resource_slice("s", device("d", capacity={"memory": "10Gi"}, allowMultipleAllocations=True))]
        assert devices(slices, claim("a"), claim("b")) is None

    @pytest.mark.parametrize(("asked", "taken"), [("1", "2"), ("3", "4"), ("4", "4")])
    def test_amounts_are_rounded_up_to_valid_values(self, asked: str, taken: str) -> None:
        policy = {"value": "8", "requestPolicy": {"default": "2", "validValues": ["2", "4"]}}
        slices = [resource_slice("s", device("d", capacity={"lanes": policy}, allowMultipleAllocations=True))]
        found = results(slices, claim("a", request(capacity={"requests": {"lanes": asked}})))
        assert found is not None
        assert found[0]["devices"]["results"][0]["consumedCapacity"] == {"lanes": taken}

    def test_more_than_the_largest_valid_value_is_refused(self) -> None:
        policy = {"value": "8", "requestPolicy": {"default": "2", "validValues": ["2", "4"]}}
        slices = [resource_slice("s", device("d", capacity={"lanes": policy}, allowMultipleAllocations=True))]
        assert devices(slices, claim("a", request(capacity={"requests": {"lanes": "5"}}))) is None


def test_configuration_comes_from_the_class_once_and_from_the_claim_where_it_applies() -> None:
    def opaque(value: str) -> Object:
        return {"opaque": {"driver": DRIVER, "parameters": {"v": value}}}

    classes = (device_class("gpu", config=[opaque("class")]),)
    config = [opaque("for all"), {"requests": ["b"], **opaque("for b")}, {"requests": ["x"], **opaque("for nobody")}]
    slices = [resource_slice("s", device("d1"), device("d2"))]
    found = results(slices, claim("c", request("a"), request("b"), config=config), classes=classes)
    assert found is not None
    assert found[0]["devices"]["config"] == [
        {"source": "FromClass", "requests": ["a", "b"], **opaque("class")},
        {"source": "FromClaim", **opaque("for all")},
        {"source": "FromClaim", "requests": ["b"], **opaque("for b")},
    ]


def test_a_pool_with_binding_conditions_is_taken_last_and_they_are_carried_over() -> None:
    slices = [
        resource_slice(
            "s", device("attached", bindingConditions=["Attached"], bindingFailureConditions=["Failed"]), pool="a"
        ),
        resource_slice("t", device("plain"), pool="b"),
    ]
    assert devices(slices, claim()) == [["plain"]]
    found = results(slices[:1], claim())
    assert found is not None
    assert found[0]["devices"]["results"][0]["bindingConditions"] == ["Attached"]
    assert found[0]["devices"]["results"][0]["bindingFailureConditions"] == ["Failed"]


def test_more_than_thirty_two_devices_are_an_error() -> None:
    slices = [resource_slice("s", *(device(f"d{number}") for number in range(40)))]
    with pytest.raises(AllocationError, match="number of requested devices 33 exceeds the claim limit of 32"):
        devices(slices, claim("c", request(count=33)))


def test_a_search_that_does_not_end_is_cut_off() -> None:
    slices = [resource_slice("s", *(device(f"d{number}", attributes={"n": number}) for number in range(60)))]
    impossible = claim("c", request(count=20), request("last", "false"))
    with pytest.raises(TooManySteps):
        devices(slices, impossible)
