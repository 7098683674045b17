"""The environment of selectors of devices: what classes and claims may say about ``device``, checked and evaluated alike.

``device`` has ``driver``, ``allowMultipleAllocations``, ``attributes`` and ``capacity``; the latter two are maps by domain, then by
name. The lengths, by which costs are estimated, are those that ResourceSlices allow.
"""

from __future__ import annotations

from functools import lru_cache

from steersman.cel.environment import Environment, Program
from steersman.cel.errors import CELError
from steersman.cel.libraries import bindings, kubernetes
from steersman.cel.libraries.quantities import QUANTITY_TYPE
from steersman.cel.schemas import Declared
from steersman.cel.types import BOOL, DYN, STRING, map_of, object_of

COST_LIMIT = 1_000_000
"""What one evaluation may cost, in CEL's units (``CELSelectorExpressionMaxCost``)."""
_LONGEST_DRIVER = 63
_MOST_NAMES = 32


def _by_domain(value: Declared) -> Declared:
    by_name = Declared(type=map_of(STRING, value.type), element=value, max_elements=_MOST_NAMES)
    return Declared(type=map_of(STRING, by_name.type), element=by_name, max_elements=_MOST_NAMES)


@lru_cache(maxsize=1)
def environment() -> Environment:
    device = Declared(
        type=object_of("kubernetes.DRADevice"),
        fields={
            "driver": Declared(type=STRING, max_elements=_LONGEST_DRIVER),
            "allowMultipleAllocations": Declared(type=BOOL),
            "attributes": _by_domain(Declared(type=DYN)),
            "capacity": _by_domain(Declared(type=QUANTITY_TYPE)),
        },
    )
    return Environment(
        variables={"device": device}, libraries=(*kubernetes.REGISTRY, bindings.LIBRARY), homogeneous=True
    )


class SelectorTypeError(CELError):
    """A selector that says something else than yes or no."""


@lru_cache(maxsize=256)
def compiled(expression: str) -> Program | CELError:
    """The selector's program, or what is wrong with it."""
    try:
        program = environment().compile(expression)
    except CELError as error:
        return error
    if program.result_type != BOOL and not program.result_type.is_dyn:
        return SelectorTypeError(f"must evaluate to bool or the unknown type, not {program.result_type}")
    return program
