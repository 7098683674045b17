"""``cel.bind(name, value, expression)``. Kubernetes does not offer it; policies have ``variables`` instead."""

from __future__ import annotations

from steersman.cel.declarations import Library
from steersman.cel.macros import BINDINGS

LIBRARY = Library(name="bindings", macros=BINDINGS)
