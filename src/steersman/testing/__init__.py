"""For suites that test against Kubernetes: a whole cluster in the test's own process, and suites for our interfaces.

The names are imported when they are used: the pytest plugin of this package is loaded by every run of pytest, also by
those that need no cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steersman.testing.cluster import Cluster
    from steersman.testing.waiting import eventually

__all__ = ["Cluster", "eventually"]

_MODULES = {"Cluster": "cluster", "eventually": "waiting"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"steersman.testing.{_MODULES[name]}"), name)
