"""A listing's rows are made anew only when their state is another, and forgotten with what they stand for."""

from __future__ import annotations

from dataclasses import dataclass

from steersman.kubelet.runtimes.cri_rows import Rows


@dataclass(frozen=True)
class Row:
    id: str
    state: int


def test_rows_are_made_once_for_each_state() -> None:
    made: list[Row] = []

    def make(row: Row) -> str:
        made.append(row)
        return f"{row.id} in state {row.state}, made {len(made)}."

    rows: Rows[Row, str] = Rows(make)
    one, two = Row("one", 0), Row("two", 0)
    assert rows.of([one, two], is_everything=True) == ["one in state 0, made 1.", "two in state 0, made 2."]
    assert rows.of([two], is_everything=False) == ["two in state 0, made 2."]
    assert rows.of([one, Row("two", 1)], is_everything=True) == ["one in state 0, made 1.", "two in state 1, made 3."]
    assert rows.of([one], is_everything=True) == ["one in state 0, made 1."]
    assert rows.of([Row("two", 1)], is_everything=False) == ["two in state 1, made 4."], (
        "it had gone and been forgotten"
    )
