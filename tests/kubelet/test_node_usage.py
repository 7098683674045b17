"""What the kernel's files say about a node."""

from __future__ import annotations

from pathlib import Path

from steersman.kubelet.node_usage import NodeUsage

KIB = 1024
MEMINFO = """\
MemTotal:        1000 kB
MemFree:          300 kB
Buffers:           20 kB
Cached:           200 kB
SwapCached:         5 kB
Inactive(file):    90 kB
SwapTotal:        512 kB
SwapFree:         500 kB
AnonPages:        250 kB
Slab:             100 kB
"""


def test_memory_is_what_the_root_cgroup_counts_not_what_the_kernel_needs_itself(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    memory = NodeUsage(tmp_path).memory()
    assert memory.usage_bytes == (250 + 200 + 20 + 5) * KIB
    assert memory.working_set_bytes == memory.usage_bytes - 90 * KIB
    assert memory.available_bytes == 1000 * KIB - memory.working_set_bytes
    assert memory.rss_bytes == 250 * KIB
    assert (memory.swap_total_bytes, memory.swap_free_bytes) == (512 * KIB, 500 * KIB)


def test_the_working_set_is_never_negative(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nAnonPages: 10 kB\nCached: 20 kB\nInactive(file): 40 kB\n")
    memory = NodeUsage(tmp_path).memory()
    assert (memory.working_set_bytes, memory.available_bytes) == (0, 100 * KIB)
