"""Plugins from outside: Python classes found through entry points or in a file that the configuration names.

A plugin is a class with a ``NAME`` and some of these methods, written over all nodes at once or over one node at a time:

    filter(pod, table) -> mask          or   filter(pod, node) -> bool
    score(pod, table, mask) -> array    or   score(pod, node) -> int
    pre_enqueue(pod) -> str             a text keeps the pod out of the queue
    permit(pod, node_name) -> str       a text rejects the placement
    post_bind(pod, node_name)

``VECTOR = True`` marks the first form. ``pod`` is the API object, ``node`` too; ``table`` is the ``NodeTable``. Scores are 0 to
100. ``REASON`` is what rejected nodes are said to have. The class is made with the plugin's arguments as a dict.

A plugin that raises, answers nonsense or takes longer than ``TIMEOUT_S`` fails the pod's try with an error that names it; the
scheduler goes on. After a timeout it is out of use until the call that hangs comes back.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from steersman.scheduler.configuration import ConfigurationError
from steersman.scheduler.framework import MAX_NODE_SCORE, Codes, Rejection, Scores
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args
from steersman.scheduler.plugin_calls import PluginFailed, Point
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.profiles import PluginSpec

ENTRY_POINTS = "steersman.scheduler.plugins"
TIMEOUT_S = 5.0
SLOW_S = 0.1
"""A call that takes longer is logged, once a plugin."""
log = logging.getLogger(__name__)


class Guard:
    """Calls into one plugin, each on the plugin's own thread and with a time limit. The thread is a daemon: a plugin that
    never returns does not keep the process from ending."""

    def __init__(self, name: str, timeout_s: float = TIMEOUT_S) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        self._thread: Thread | None = None
        self._hanging: Future[Any] | None = None
        self._is_known_slow = False

    def call(self, point: Point, function: Callable[..., Any], *args: Any) -> Any:
        """The result of ``function``. Raises ``PluginFailed``."""
        if self._hanging is not None:
            if not self._hanging.done():
                raise PluginFailed(self._name, point, "out of use: an earlier call has not come back")
            self._hanging = None
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"plugin-{self._name}", daemon=True)
            self._thread.start()
        future: Future[Any] = Future()
        self._calls.put((future, function, args))
        wait([future], SLOW_S)
        if not future.done():
            self._say_slow(point)
            wait([future], self._timeout_s - SLOW_S)
        if not future.done():
            self._hanging = future
            raise PluginFailed(self._name, point, f"took longer than {self._timeout_s:g} s")
        error = future.exception()
        if error is not None:
            raise PluginFailed(self._name, point, f"{type(error).__name__}: {error}") from error
        return future.result()

    def _say_slow(self, point: str) -> None:
        if not self._is_known_slow:
            log.warning("%s plugin %s took longer than %g s; it holds up every pod of its profile",
                        point, self._name, SLOW_S)  # fmt: skip
        self._is_known_slow = True

    def _work(self) -> None:
        while True:
            future, function, args = self._calls.get()
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)


def adapted(cls: type[Any], args: Args, timeout_s: float = TIMEOUT_S) -> Any:
    """A framework plugin around an instance of ``cls``. Raises ``ConfigurationError`` where it cannot be made."""
    name = str(cls.NAME)
    guard = Guard(name, timeout_s)
    try:
        inner = cls(dict(args)) if inspect.signature(cls).parameters else cls()
    except Exception as error:
        raise ConfigurationError(f'plugin "{name}" cannot be made: {type(error).__name__}: {error}') from error
    is_vector = bool(getattr(cls, "VECTOR", False))
    reason = str(getattr(cls, "REASON", f"node(s) were rejected by plugin {name}"))
    members: dict[str, Any] = {
        "NAME": name,
        "LOCAL": False,
        "READS_PODS": True,
        "BY_NODE": not is_vector,
        "__doc__": cls.__doc__,
    }
    if hasattr(inner, "filter"):
        members["filter"] = _filter(name, guard, inner, is_vector)
        members["rejection"] = lambda self, state, code: Rejection(reasons=(reason,))
    if hasattr(inner, "score"):
        members["pre_score"] = lambda self, pod, cluster, feasible: (pod, feasible)
        members["score"] = _score(name, guard, inner, is_vector)
    if hasattr(inner, "pre_enqueue"):
        members["pre_enqueue"] = lambda self, pod, cluster: _gate(guard, inner, pod)
    if hasattr(inner, "permit"):
        members["permit"] = lambda self, pod, node_name, cluster: _rejection(
            guard.call("Permit", inner.permit, pod.obj, node_name)
        )
    if hasattr(inner, "post_bind"):
        members["post_bind"] = lambda self, pod, node_name: _tell(guard, inner, pod, node_name)
    if len(members) == 5:
        raise ConfigurationError(f'plugin "{name}" has none of filter, score, pre_enqueue, permit, post_bind')
    return type(name, (), members)()


def _filter(name: str, guard: Guard, inner: Any, is_vector: bool) -> Callable[..., Codes]:
    def by_vector(self: Any, state: PodInfo, table: NodeTable, rows: Rows) -> Codes:
        mask = _checked(name, "Filter", guard.call("Filter", inner.filter, state.obj, table), table.count)
        return (~mask.astype(np.bool_))[rows].astype(np.int64)

    def by_node(self: Any, state: PodInfo, table: NodeTable, rows: Rows) -> Codes:
        def ask() -> list[bool]:
            return [node is None or bool(inner.filter(state.obj, node)) for node in _nodes(table, rows)]

        return np.array([not fits for fits in guard.call("Filter", ask)], dtype=np.int64)

    return by_vector if is_vector else by_node


def _score(name: str, guard: Guard, inner: Any, is_vector: bool) -> Callable[..., Scores]:
    def by_vector(self: Any, state: tuple[PodInfo, Mask], table: NodeTable, rows: Rows) -> Scores:
        pod, feasible = state
        array = _checked(name, "Score", guard.call("Score", inner.score, pod.obj, table, feasible), table.count)
        return _in_range(name, array[rows])

    def by_node(self: Any, state: tuple[PodInfo, Mask], table: NodeTable, rows: Rows) -> Scores:
        pod, _ = state

        def ask() -> list[int]:
            return [0 if node is None else int(inner.score(pod.obj, node)) for node in _nodes(table, rows)]

        return _in_range(name, np.array(guard.call("Score", ask), dtype=np.int64))

    return by_vector if is_vector else by_node


def _gate(guard: Guard, inner: Any, pod: PodInfo) -> Rejection | None:
    """A plugin that fails keeps nobody out."""
    try:
        return _rejection(guard.call("PreEnqueue", inner.pre_enqueue, pod.obj))
    except PluginFailed as failure:
        log.error("%s: %s", pod.key, failure)
        return None


def _tell(guard: Guard, inner: Any, pod: PodInfo, node_name: str) -> None:
    """The pod is bound; whatever happens here changes nothing about that."""
    try:
        guard.call("PostBind", inner.post_bind, pod.obj, node_name)
    except PluginFailed as failure:
        log.error("%s: %s", pod.key, failure)


def _nodes(table: NodeTable, rows: Rows) -> list[Any]:
    return [table.nodes[int(row)] for row in np.arange(table.count)[rows]]


def _checked(name: str, point: Point, answer: Any, count: int) -> np.ndarray[Any, Any]:
    array = np.asarray(answer)
    if array.shape != (count,):
        raise PluginFailed(name, point, f"answered with shape {array.shape} instead of ({count},)")
    return array


def _in_range(name: str, scores: np.ndarray[Any, Any]) -> Scores:
    whole = scores.astype(np.int64)
    if len(whole) and (whole.min() < 0 or whole.max() > MAX_NODE_SCORE):
        raise PluginFailed(name, "Score", f"returned a score outside 0 to {MAX_NODE_SCORE}")
    return whole


def _rejection(text: Any) -> Rejection | None:
    return Rejection(reasons=(str(text),)) if text else None


def from_entry_points() -> list[PluginSpec]:
    """Installed plugins. They are enabled by naming them in a profile. Raises ``ConfigurationError``."""
    found = []
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            found.append(_spec(entry.load(), f"entry point {entry.name}"))
        except ImportError as error:
            raise ConfigurationError(f"entry point {entry.name}: {error}") from error
    return found


def from_file(path: str) -> list[PluginSpec]:
    """The plugins that a Python file defines: its classes with a ``NAME``. Raises ``ConfigurationError``."""
    spec = importlib.util.spec_from_file_location(f"steersman_plugins_{abs(hash(path))}", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise ConfigurationError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigurationError(f"{path}: {type(error).__name__}: {error}") from error
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "NAME")
    ]
    if not classes:
        raise ConfigurationError(f"{path}: defines no class with a NAME")
    return [_spec(cls, path) for cls in classes]


def _spec(cls: Any, origin: str) -> PluginSpec:
    name = getattr(cls, "NAME", None)
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{origin}: the plugin has no NAME")

    def make(args: Mapping[str, Any]) -> Any:
        return adapted(cls, args)

    return PluginSpec(name=name, make=make, is_default=False)
