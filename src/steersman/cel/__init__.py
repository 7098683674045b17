"""CEL, the Common Expression Language, as Kubernetes speaks it: parsed, type-checked, priced and compiled to closures.

    environment = Environment(variables={"self": declare(schema)}, libraries=kubernetes.REGISTRY)
    program = environment.compile("self.replicas <= self.maxReplicas")
    program.evaluate({"self": {"replicas": 1, "maxReplicas": 3}})

``environment`` is the entry; ``schemas`` derives types from OpenAPI schemas; ``libraries`` are the functions beyond the
language; ``transitions`` knows about ``oldSelf``. https://github.com/google/cel-spec
"""

from steersman.cel.environment import PER_CALL_LIMIT, Environment, Outcome, Program
from steersman.cel.errors import CELError, CompileError, CostLimitExceeded, EvaluationError, InstantiationError, Issue
from steersman.cel.schemas import Declared, declare

__all__ = [
    "PER_CALL_LIMIT",
    "CELError",
    "CompileError",
    "CostLimitExceeded",
    "Declared",
    "Environment",
    "EvaluationError",
    "InstantiationError",
    "Issue",
    "Outcome",
    "Program",
    "declare",
]
