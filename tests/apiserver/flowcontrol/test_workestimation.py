"""How wide requests are."""

from __future__ import annotations

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.flowcontrol.watchcounts import WatchCounts
from steersman.apiserver.flowcontrol.workestimation import ObjectStats, WorkEstimator
from steersman.apiserver.requestinfo import RequestInfo, request_info
from steersman.meta.wire import Request


def _call(method: str, path: str, **query: str) -> Call:
    request = Request(method=method, path=path, query={name: [value] for name, value in query.items()})
    return Call(request=request, info=request_info(request), received_s=0.0, user=User(name="joe"))


PODS = "/api/v1/pods"
MANY = ObjectStats(count=1000, average_bytes=3000)
FEW = ObjectStats(count=10, average_bytes=3000)


@pytest.mark.parametrize(
    ("stats", "query", "seats"),
    [
        (MANY, {}, 10),  # 3 MB, of which one at once: it is streamed
        (FEW, {}, 1),
        (None, {}, 1),
        (MANY, {"limit": "100"}, 3),
        (MANY, {"limit": "100", "continue": "x"}, 3),
        (MANY, {"limit": "100", "continue": "x", "labelSelector": "a=b"}, 15),
        (MANY, {"resourceVersion": "7", "resourceVersionMatch": "Exact"}, 30),
        (MANY, {"resourceVersion": "0"}, 10),
        (MANY, {"fieldSelector": "metadata.name=a"}, 1),
        (MANY, {"limit": "many"}, 100),
        (MANY, {"watch": "1", "resourceVersion": "7"}, 1),
        (MANY, {"watch": "1"}, 10),
        (MANY, {"watch": "1", "resourceVersion": "7", "sendInitialEvents": "true"}, 10),
    ],
)
def test_lists_cost_what_they_hold_in_memory(stats: ObjectStats | None, query: dict[str, str], seats: int) -> None:
    estimator = WorkEstimator(lambda info: stats, WatchCounts(), FakeClock())
    assert estimator.estimate(_call("GET", PODS, **query), 0)[0].seats == seats
    assert estimator.estimate(_call("GET", PODS, **query), 2)[0].seats == min(seats, 2)


def test_the_figures_are_a_minute_old_at_most() -> None:
    clock, asked = FakeClock(), []

    def stats(info: RequestInfo) -> ObjectStats:
        asked.append(info.resource)
        return MANY

    estimator = WorkEstimator(stats, WatchCounts(), clock)
    for _ in range(3):
        estimator.estimate(_call("GET", PODS), 0)
    assert asked == ["pods"]
    clock._now_s += 61
    estimator.estimate(_call("GET", PODS), 0)
    assert asked == ["pods", "pods"]


def test_writes_cost_the_watches_they_wake() -> None:
    watches = WatchCounts()
    estimator = WorkEstimator(lambda info: None, watches, FakeClock())
    write = _call("PUT", "/api/v1/namespaces/x/pods/a")
    assert estimator.estimate(write, 0)[0].additional_latency_s == 0
    for _ in range(25):
        watches.add(_call("GET", PODS, watch="1"))
    found, count = estimator.estimate(write, 0)
    assert (found.initial_seats, found.final_seats, count) == (1, 3, 25)
    assert found.additional_latency_s == pytest.approx(0.005)
    narrow, _ = estimator.estimate(write, 2)
    assert narrow.final_seats == 2
    assert narrow.additional_latency_s == pytest.approx(0.0075)
    token = _call("POST", "/api/v1/namespaces/x/serviceaccounts/a/token")
    assert estimator.estimate(token, 0)[0].seats == 1


def test_watches_count_where_they_look() -> None:
    watches = WatchCounts()
    everything = watches.add(_call("GET", PODS, watch="1"))
    watches.add(_call("GET", "/api/v1/namespaces/x/pods", watch="1"))
    watches.add(_call("GET", "/api/v1/namespaces/x/pods", watch="1", fieldSelector="metadata.name=a"))
    assert watches.add(_call("GET", PODS, watch="1", fieldSelector="spec.nodeName=n")) is None
    assert watches.interested_in(_call("PUT", "/api/v1/namespaces/x/pods/a").info) == 3
    assert watches.interested_in(_call("PUT", "/api/v1/namespaces/x/pods/b").info) == 2
    assert watches.interested_in(_call("PUT", "/api/v1/namespaces/y/pods/a").info) == 1
    assert everything is not None
    watches.remove(everything)
    assert watches.interested_in(_call("PUT", "/api/v1/namespaces/y/pods/a").info) == 0
