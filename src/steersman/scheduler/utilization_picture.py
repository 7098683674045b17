"""A picture of how full nodes are, as SVG: one row a node, one bar a resource."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from steersman.scheduler.simulation import Utilization

ROW, BAR_WIDTH, LABEL_WIDTH, GAP, TOP = 16, 220, 160, 24, 40
LETTER_WIDTH = 7
"""Of an 11 pixel font, with some reserve."""
RESOURCES = ("cpu", "memory", "pods")
"""Always shown; extended resources where some node has them, others where some pod requests them."""
_COLORS = ((0.5, "#7fb685"), (0.8, "#e8c547"), (1.0, "#e07a3f"), (float("inf"), "#c0392b"))
"""Upper bound of a share and its colour."""


def picture(nodes: Sequence[Utilization], title: str) -> str:
    """An SVG document."""
    resources = [*RESOURCES, *_others(nodes)]
    left = max(LABEL_WIDTH, LETTER_WIDTH * max((len(node.node_name) for node in nodes), default=0))
    width = left + len(resources) * (BAR_WIDTH + GAP)
    height = TOP + ROW * len(nodes) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for column, resource in enumerate(resources):
        mean = sum(node.share(resource) for node in nodes) / len(nodes) if nodes else 0.0
        x = left + column * (BAR_WIDTH + GAP)
        parts.append(f'<text x="{x}" y="24" font-weight="bold">{escape(resource)} (mean {mean:.0%})</text>')
    for index, node in enumerate(nodes):
        y = TOP + index * ROW
        parts.append(f'<text x="4" y="{y + 11}">{escape(node.node_name)}</text>')
        for column, resource in enumerate(resources):
            parts += _bar(left + column * (BAR_WIDTH + GAP), y, node.share(resource))
    return "\n".join([*parts, "</svg>", ""])


def _others(nodes: Sequence[Utilization]) -> list[str]:
    offered = {name for node in nodes for name, amount in node.allocatable.items() if amount and "/" in name}
    requested = {name for node in nodes for name, amount in node.requested.items() if amount}
    return sorted((offered | requested) - {*RESOURCES})


def _bar(x: int, y: int, share: float) -> list[str]:
    color = next(color for bound, color in _COLORS if share <= bound)
    length = round(BAR_WIDTH * min(share, 1.0), 1)
    return [
        f'<rect x="{x}" y="{y + 2}" width="{BAR_WIDTH}" height="{ROW - 4}" fill="#eeeeee"/>',
        f'<rect x="{x}" y="{y + 2}" width="{length}" height="{ROW - 4}" fill="{color}"/>',
        f'<text x="{x + BAR_WIDTH - 2}" y="{y + 11}" text-anchor="end">{share:.0%}</text>',
    ]
