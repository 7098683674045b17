"""How long a coroutine itself was busy: from one of its awaits to the next, without what it waited for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Stopwatch(Generic[T]):
    """``await Stopwatch(work(), timer=…)`` is ``await work()``; afterwards ``busy_s`` says how long it kept the loop from others.

    Tasks that ``work`` starts are not counted, as the loop runs them in turn with others.
    """

    def __init__(self, work: Coroutine[Any, Any, T], *, timer: Callable[[], float]) -> None:
        self._work = work
        self._timer = timer
        self.busy_s = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        work, timer = self._work, self._timer
        value: Any = None
        error: BaseException | None = None
        while True:
            began_s = timer()
            try:
                waited = work.send(value) if error is None else work.throw(error)
            except StopIteration as done:
                result: T = done.value
                return result
            finally:
                self.busy_s += timer() - began_s
            value, error = None, None
            try:
                value = yield waited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as raised:
                error = raised
