"""Fair queuing, on a virtual clock: shares, no starvation, no idle seat while somebody waits, sums that add up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.apiserver.flowcontrol.levels import FlowAccount
from steersman.apiserver.flowcontrol.queueset import ONE_SEAT, QueueSet, Queuing, WorkEstimate
from tests.apiserver.flowcontrol.simulation import Load, Simulation

QUEUING = Queuing(queues=64, hand_size=6, queue_length_limit=50)


def _set(queuing: Queuing = QUEUING, limit: int = 2) -> tuple[QueueSet, FlowAccount]:
    return QueueSet(queuing, limit=limit, now_s=0.0), FlowAccount("level", "schema")


def test_a_free_seat_is_taken_at_once() -> None:
    queues, account = _set()
    ticket = queues.start(account, (0, 1), ONE_SEAT, 0.0)
    assert ticket is not None
    assert ticket.state == "executing"
    assert queues.finish(ticket, 0.1) == 0
    queues.validate()
    assert queues.is_idle
    assert (queues.seats_in_use, account.seats_in_use, account.executing) == (0, 0, 0)


def test_the_next_in_line_gets_the_seat() -> None:
    queues, account = _set(limit=1)
    first = queues.start(account, (0,), ONE_SEAT, 0.0)
    second = queues.start(account, (0,), ONE_SEAT, 0.0)
    third = queues.start(account, (0,), ONE_SEAT, 0.0)
    assert first is not None
    assert second is not None
    assert third is not None
    seated: list[int] = []
    second.on_dispatch = lambda: seated.append(2)
    third.on_dispatch = lambda: seated.append(3)
    queues.finish(first, 1.0)
    assert seated == [2]
    assert third.state == "waiting"
    queues.withdraw(third, 2.0, timed_out=True)
    queues.validate()
    assert (queues.waiting, queues.timed_out, queues.rejected) == (0, 1, 1)


def test_a_full_queue_refuses() -> None:
    queues, account = _set(Queuing(queues=2, hand_size=1, queue_length_limit=1), limit=1)
    states = [queues.start(account, (0,), ONE_SEAT, 0.0) for _ in range(3)]
    assert [ticket and ticket.state for ticket in states] == ["executing", "waiting", None]
    other = queues.start(account, (1,), ONE_SEAT, 0.0)
    assert other is not None
    assert other.state == "waiting"


def test_without_queues_there_is_a_limit_and_no_waiting() -> None:
    queues, account = _set(Queuing(), limit=1)
    assert queues.start(account, (), ONE_SEAT, 0.0) is not None
    assert queues.start(account, (), ONE_SEAT, 0.0) is None


def test_exempt_requests_are_never_refused() -> None:
    queues, account = _set(Queuing(is_exempt=True), limit=0)
    tickets = [queues.start(account, (), ONE_SEAT, 0.0) for _ in range(100)]
    assert all(ticket is not None and ticket.state == "executing" for ticket in tickets)
    assert queues.executing == 100


def test_the_aftermath_of_a_write_holds_its_seats() -> None:
    queues, account = _set(limit=4)
    wide = queues.start(account, (0,), WorkEstimate(final_seats=3, additional_latency_s=0.05), 0.0)
    assert wide is not None
    assert queues.seats_in_use == 3
    assert queues.finish(wide, 0.01) == pytest.approx(0.05)
    assert (queues.executing, queues.seats_in_use) == (0, 3)
    queues.release(wide, 0.06)
    assert queues.seats_in_use == 0
    queues.validate()


def test_an_aftermath_wider_than_the_level_takes_longer_instead() -> None:
    queues, account = _set(limit=2)
    wide = queues.start(account, (0,), WorkEstimate(final_seats=10, additional_latency_s=0.01), 0.0)
    assert wide is not None
    assert (wide.seats, wide.final_seats) == (2, 2)
    assert queues.finish(wide, 0.01) == pytest.approx(0.05)


def test_a_request_wider_than_the_level_gets_it_to_itself() -> None:
    queues, account = _set(limit=2)
    small = queues.start(account, (0,), ONE_SEAT, 0.0)
    wide = queues.start(account, (1,), WorkEstimate(initial_seats=5), 0.0)
    assert small is not None
    assert wide is not None
    assert queues.waiting == 1
    queues.finish(small, 1.0)
    assert queues.waiting == 0
    queues.finish(wide, 2.0)
    queues.validate()


def test_more_seats_seat_who_waits() -> None:
    queues, account = _set(limit=1)
    tickets = [queues.start(account, (0, 1), ONE_SEAT, 0.0) for _ in range(5)]
    queues.configure(QUEUING, limit=3, now_s=1.0)
    assert [ticket and ticket.state for ticket in tickets].count("executing") == 3
    queues.validate()


def test_surplus_queues_go_when_they_are_empty() -> None:
    queues, account = _set(Queuing(queues=4, hand_size=1, queue_length_limit=10), limit=4)
    tickets = [queues.start(account, (index,), ONE_SEAT, 0.0) for index in range(4)]
    queues.configure(Queuing(queues=2, hand_size=1, queue_length_limit=10), limit=4, now_s=1.0)
    assert len(queues.queues) == 4
    for ticket in tickets:
        assert ticket is not None
        queues.finish(ticket, 2.0)
        queues.validate()
    assert len(queues.queues) == 2
    assert [queue.index for queue in queues.queues] == [0, 1]


def test_two_greedy_flows_share_evenly_however_many_clients_each_has() -> None:
    simulation = Simulation(
        QUEUING, 10, [Load(name="many", clients=300, service_s=0.02), Load(name="few", clients=30, service_s=0.02)]
    )
    simulation.run(4.0)
    total = sum(simulation.served_seat_s.values())
    assert total == pytest.approx(10 * 4.0, rel=0.02)
    # A flow's share is by queues: both keep several queues of their hands busy.
    assert simulation.served_seat_s["few"] > 0.3 * total


def test_a_modest_flow_gets_what_it_asks_for_beside_a_greedy_one() -> None:
    modest = Load(name="modest", clients=2, service_s=0.01, pause_s=0.02)
    alone = Simulation(QUEUING, 10, [modest])
    alone.run(4.0)
    beside = Simulation(QUEUING, 10, [modest, Load(name="greedy", clients=400, service_s=0.01)])
    beside.run(4.0)
    assert beside.refused["modest"] == 0
    assert beside.finished["modest"] > 0.6 * alone.finished["modest"]
    assert beside.longest_wait_s["modest"] < 0.1


def test_wide_requests_pay_for_their_width() -> None:
    simulation = Simulation(
        QUEUING,
        10,
        [
            Load(name="wide", clients=60, service_s=0.02, estimate=WorkEstimate(initial_seats=5)),
            Load(name="narrow", clients=60, service_s=0.02),
        ],
    )
    simulation.run(4.0)
    assert simulation.finished["narrow"] > 3 * simulation.finished["wide"]
    assert simulation.finished["wide"] > 0


_loads = st.lists(
    st.tuples(
        st.integers(min_value=1, max_value=40),
        st.sampled_from([0.001, 0.003, 0.01, 0.05]),
        st.sampled_from([0.0, 0.005, 0.1]),
        st.sampled_from([(1, 0, 0.0), (3, 0, 0.0), (1, 4, 0.02), (1, 20, 0.005)]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(_loads, st.integers(min_value=1, max_value=12), st.sampled_from([(1, 1), (4, 2), (64, 6)]))
def test_no_flow_starves_and_shares_are_respected(
    rows: list[tuple[int, float, float, tuple[int, int, float]]], limit: int, hand: tuple[int, int]
) -> None:
    """With any loads: the sums add up after every step, nobody is refused while there is room to wait, and each flow is served
    within the time in which every queue can have had twice the work of the largest request."""
    loads = [
        Load(
            name=f"flow-{index}",
            clients=clients,
            service_s=service_s,
            pause_s=pause_s,
            estimate=WorkEstimate(initial_seats=seats[0], final_seats=seats[1], additional_latency_s=seats[2]),
        )
        for index, (clients, service_s, pause_s, seats) in enumerate(rows)
    ]
    queuing = Queuing(queues=hand[0], hand_size=hand[1], queue_length_limit=1000)
    simulation = Simulation(queuing, limit, loads, check_every=7)
    largest = max(
        load.service_s * load.estimate.initial_seats + load.estimate.final_seats * load.estimate.additional_latency_s
        for load in loads
    )
    busy_queues = min(hand[0], sum(load.clients for load in loads))
    while simulation.now_s < 0.5 + 2 * largest * busy_queues / limit:
        simulation.run(simulation.now_s + 0.5)
        if all(simulation.finished.values()):
            break
    assert all(count > 0 for count in simulation.finished.values())
    assert all(count == 0 for count in simulation.refused.values())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(min_value=10, max_value=200), min_size=2, max_size=6),
    st.integers(min_value=2, max_value=8),
    st.sampled_from([0.002, 0.01, 0.03]),
)
def test_greedy_flows_of_a_queue_each_get_even_shares(clients: list[int], limit: int, service_s: float) -> None:
    loads = [Load(name=str(index), clients=count, service_s=service_s) for index, count in enumerate(clients)]
    simulation = Simulation(Queuing(queues=len(loads), hand_size=1, queue_length_limit=1000), limit, loads)
    simulation._hands = {str(index): (index,) for index in range(len(loads))}
    simulation.run(2.0)
    even = sum(simulation.served_seat_s.values()) / len(loads)
    assert all(value == pytest.approx(even, rel=0.15) for value in simulation.served_seat_s.values())
