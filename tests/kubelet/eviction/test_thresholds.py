"""Eviction thresholds: parsed, refused, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from steersman.kubelet.eviction.thresholds import (
    ALLOCATABLE_MEMORY,
    CONTAINER_FS,
    CONTAINER_INODES,
    DEFAULT_HARD,
    IMAGE_FS,
    MEMORY,
    NODE_FS,
    NODE_INODES,
    ThresholdError,
    parse_thresholds,
    reserved_by,
    with_container_filesystem,
)

GI = 1024**3


def test_hard_and_soft_thresholds_with_grace_and_minimum_reclaim() -> None:
    hard, soft = parse_thresholds({MEMORY: "150Mi"}, {NODE_FS: "10%"}, {NODE_FS: "30s"}, {MEMORY: "0", NODE_FS: "5%"})
    assert (hard.signal, hard.is_hard, hard.value.of(10 * GI)) == (MEMORY, True, 150 * 1024**2)
    assert hard.min_reclaim is not None and hard.min_reclaim.of(GI) == 0
    assert (soft.signal, soft.grace_s) == (NODE_FS, 30)
    assert soft.value.of(1000) == 100
    assert soft.min_reclaim is not None and soft.min_reclaim.of(1000) == 50


def test_the_memory_of_pods_is_guarded_like_the_nodes() -> None:
    found = parse_thresholds({MEMORY: "100Mi", NODE_FS: "10%"}, allocatable=True)
    assert [item.signal for item in found] == [MEMORY, NODE_FS, ALLOCATABLE_MEMORY]


def test_zero_and_hundred_percent_are_no_thresholds() -> None:
    assert parse_thresholds({NODE_FS: "0%", IMAGE_FS: "100%"}) == ()


@pytest.mark.parametrize(
    ("hard", "soft", "grace", "reclaim", "complaint"),
    [
        ({"memory.free": "1Gi"}, {}, {}, {}, "unsupported eviction signal memory.free"),
        ({MEMORY: "a lot"}, {}, {}, {}, "quantities must match"),
        ({MEMORY: "0"}, {}, {}, {}, "must be positive"),
        ({MEMORY: "-1Gi"}, {}, {}, {}, "must be positive"),
        ({MEMORY: "-5%"}, {}, {}, {}, "must be >= 0%"),
        ({MEMORY: "120%"}, {}, {}, {}, "must be <= 100%"),
        ({}, {MEMORY: "1Gi"}, {}, {}, "grace period must be specified for the soft eviction threshold"),
        ({}, {MEMORY: "1Gi"}, {MEMORY: "soon"}, {}, "invalid duration"),
        ({}, {MEMORY: "1Gi"}, {MEMORY: "-5s"}, {}, "must be a positive value"),
        ({MEMORY: "1Gi"}, {}, {}, {MEMORY: "-1Gi"}, "negative eviction minimum reclaim"),
        ({MEMORY: "1Gi"}, {}, {}, {MEMORY: "0%"}, "must be positive"),
    ],
)
def test_what_is_no_threshold_is_refused(
    hard: Mapping[str, str], soft: Mapping[str, str], grace: Mapping[str, str], reclaim: Mapping[str, str],
    complaint: str,
) -> None:  # fmt: skip
    with pytest.raises(ThresholdError, match=complaint):
        parse_thresholds(hard, soft, grace, reclaim)


@pytest.mark.parametrize(
    ("image_fs", "container_fs", "wanted"),
    [
        (False, False, {CONTAINER_FS: "10%", CONTAINER_INODES: "5%"}),
        (True, False, {CONTAINER_FS: "15%", CONTAINER_INODES: "5%"}),
        (True, True, {CONTAINER_FS: "10%", CONTAINER_INODES: "5%"}),
    ],
)
def test_containers_have_the_thresholds_of_the_disk_they_are_on(
    image_fs: bool, container_fs: bool, wanted: Mapping[str, str]
) -> None:
    given = parse_thresholds({**DEFAULT_HARD, CONTAINER_FS: "50%"})
    found = with_container_filesystem(given, image_fs=image_fs, container_fs=container_fs)
    own = {item.signal: item.value.text for item in found if item.signal in (CONTAINER_FS, CONTAINER_INODES)}
    assert own == wanted


def test_hard_thresholds_are_kept_out_of_allocatable() -> None:
    thresholds = parse_thresholds({MEMORY: "100Mi", NODE_FS: "10%", NODE_INODES: "5%"}, {MEMORY: "1Gi"}, {MEMORY: "1m"})
    # A tenth in 32 bits is a little more than a tenth: upstream's allocatable shows it, and so does ours.
    assert reserved_by(thresholds, {"memory": 4 * GI, "ephemeral-storage": 100 * GI}) == {
        "memory": 100 * 1024**2, "ephemeral-storage": 10737418400
    }  # fmt: skip
