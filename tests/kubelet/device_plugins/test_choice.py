"""Which devices are given; no plugin is asked but for what it prefers."""

from __future__ import annotations

import pytest

from steersman.kubelet.device_plugins.choice import DevicesUnavailable, Wish, choose
from steersman.kubelet.device_plugins.device_hints import device_hints
from steersman.kubelet.device_plugins.devices import Device, DeviceList
from steersman.kubelet.node_resources.numa_hints import nodes_of


def some(text: str) -> frozenset[str]:
    return frozenset(text.split())


def devices(text: str) -> DeviceList:
    """``a0 b01 c d1!``: near to nodes 0, both, none; ``!`` is unhealthy."""
    known = {
        word[0]: Device(
            id=word[0],
            nodes=tuple(int(digit) for digit in word[1:] if digit.isdigit()),
            health="Unhealthy" if word.endswith("!") else "Healthy",
        )
        for word in text.split()
    }
    return DeviceList(known=known, is_served=True)


class Plugin:
    """Prefers what its ``taste`` names, and remembers what it was asked."""

    def __init__(self, taste: str = "") -> None:
        self.taste = some(taste)
        self.asked: list[tuple[str, str, int]] = []

    async def __call__(self, free: frozenset[str], included: frozenset[str], count: int) -> frozenset[str]:
        self.asked.append((" ".join(sorted(free)), " ".join(sorted(included)), count))
        return self.taste


async def chosen(
    there: str,
    count: int,
    *,
    plugin: Plugin | None = None,
    reusable: str = "",
    taken: str = "",
    near: frozenset[int] | None = None,
) -> str:
    wish = Wish(
        resource="example.com/widget",
        count=count,
        reusable=some(reusable),
        taken=some(taken) | some(reusable),
        near=near,
    )
    return " ".join(sorted(await choose(wish, devices(there), plugin or Plugin())))


@pytest.mark.parametrize(
    ("there", "count", "given", "why"),
    [
        ("a b c", 2, "a b", "any will do"),
        ("a! b c", 2, "b c", "what is unhealthy will not"),
        ("a0 b1 c", 3, "a b c", "without a wish nodes do not matter"),
    ],
)
async def test_of_what_is_healthy_and_free(there: str, count: int, given: str, why: str) -> None:
    assert await chosen(there, count) == given, why


@pytest.mark.parametrize(
    ("there", "count", "given", "why"),
    [
        ("a0 b1 c1 d", 1, "b", "near first"),
        ("a0 b1 c1 d", 2, "b c", "exactly what is near"),
        ("a0 b1 c1 d", 3, "a b c", "then those near to other nodes"),
        ("a0 b1 c d", 3, "a b c", "and those near to none last"),
        ("a01 b0", 1, "a", "one that is near to both is near"),
        ("a b c", 2, "a b", "no device says where it is"),
    ],
)
async def test_near_to_node_one(there: str, count: int, given: str, why: str) -> None:
    assert await chosen(there, count, near=frozenset({1})) == given, why


async def test_what_init_containers_had_comes_first_and_must_be_included() -> None:
    plugin = Plugin()
    assert await chosen("a b c d", 3, plugin=plugin, reusable="d", taken="a") == "b c d"
    assert plugin.asked == [("b c d", "d", 3)]
    assert await chosen("a b c", 1, plugin=plugin, reusable="b c") == "b"
    assert len(plugin.asked) == 1, "nothing is left to prefer"


async def test_the_plugin_chooses_among_near_ones() -> None:
    plugin = Plugin("a d")
    assert await chosen("a0 b1 c1 d1", 2, plugin=plugin, near=frozenset({1})) == "b d"
    assert plugin.asked == [("b c d", "", 2)]


async def test_the_plugin_chooses_what_to_add_to_near_ones() -> None:
    plugin = Plugin("d")
    assert await chosen("a0 b1 c0 d", 2, plugin=plugin, near=frozenset({1})) == "b d"
    assert plugin.asked == [("a b c d", "b", 2)]


async def test_a_plugin_that_prefers_too_few_or_strangers_does_not_decide_the_rest() -> None:
    assert await chosen("a b c d", 3, plugin=Plugin("d z")) == "a b d"


async def test_as_many_as_are_free() -> None:
    message = r"^requested number of devices unavailable for example\.com/widget\. Requested: 2, Available: 1$"
    with pytest.raises(DevicesUnavailable, match=message):
        await chosen("a b c!", 2, taken="a")


def hints(there: str, count: int, *, free: str | None = None, reusable: str = "", nodes: int = 2) -> list[str]:
    """``0`` or ``01``: sets of nodes; ``*`` marks preferred ones."""
    found = devices(there)
    offered = device_hints(
        found,
        count,
        free=some(free) if free is not None else found.healthy - some(reusable),
        reusable=some(reusable),
        nodes=range(nodes),
    )
    return ["".join(map(str, nodes_of(hint.nodes or 0))) + ("*" if hint.preferred else "") for hint in offered]


@pytest.mark.parametrize(
    ("there", "count", "expected", "why"),
    [
        ("a0 b1", 1, ["0*", "1*", "01"], "either node serves"),
        ("a0 b1", 2, ["01*"], "both together"),
        ("a01", 1, ["0*", "1*", "01"], "a device between the nodes"),
        ("a0 b0!", 1, ["0*"], "only nodes with devices are looked at"),
        ("a0 b0 c1", 2, ["0*", "01"], "more than one node has"),
        ("a0 b0! c1", 2, ["01"], "it would fit one node if all were healthy"),
    ],
)
def test_hints(there: str, count: int, expected: list[str], why: str) -> None:
    assert hints(there, count) == expected, why


def test_hints_have_what_is_used_again() -> None:
    assert hints("a0 b1 c1", 1, reusable="a") == ["0*", "01"]
    assert hints("a0 b1 c", 1, reusable="c") == ["0*", "1*", "01"], "one that is near to no node binds to none"


def test_nodes_that_the_machine_does_not_have_do_not_count() -> None:
    assert hints("a0 b7", 1) == ["0*"]
