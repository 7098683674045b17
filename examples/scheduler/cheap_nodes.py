"""A scheduler plugin in Python: prefer cheap nodes, and keep pods away from nodes above their budget.

    steersman scheduler --plugin-file examples/scheduler/cheap_nodes.py --config config.yaml

where the configuration names it in a profile:

    profiles:
    - schedulerName: default-scheduler
      plugins:
        multiPoint:
          enabled:
          - {name: CheapNodes, weight: 5}
      pluginConfig:
      - {name: CheapNodes, args: {label: example.com/price}}

``CheapNodes`` looks at one node at a time; ``CheapNodesAtOnce`` does the same for all nodes in one step.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class CheapNodes:
    NAME = "CheapNodes"
    REASON = "node(s) were too expensive for the pod"

    def __init__(self, args: dict[str, Any]) -> None:
        self.label = args.get("label", "example.com/price")

    def filter(self, pod: dict[str, Any], node: dict[str, Any]) -> bool:
        budget = pod["metadata"].get("annotations", {}).get("example.com/budget")
        return budget is None or self.price(node) <= int(budget)

    def score(self, pod: dict[str, Any], node: dict[str, Any]) -> int:
        return max(0, 100 - self.price(node))

    def price(self, node: dict[str, Any]) -> int:
        return int(node["metadata"].get("labels", {}).get(self.label, "50"))


class CheapNodesAtOnce:
    NAME = "CheapNodesAtOnce"
    VECTOR = True
    REASON = CheapNodes.REASON

    def __init__(self, args: dict[str, Any]) -> None:
        self.label = args.get("label", "example.com/price")

    def filter(self, pod: dict[str, Any], table: Any) -> Any:
        budget = pod["metadata"].get("annotations", {}).get("example.com/budget")
        prices = self.prices(table)
        return np.ones(len(prices), dtype=bool) if budget is None else prices <= int(budget)

    def score(self, pod: dict[str, Any], table: Any, mask: Any) -> Any:
        return np.maximum(0, 100 - self.prices(table))

    def prices(self, table: Any) -> Any:
        column = table.column(self.label)
        by_value = np.array([*(int(value) for value in column.values), 50])
        return by_value[column.ids[: table.count]]
