"""What a runtime says of itself."""

from __future__ import annotations

import pytest

from steersman.kubelet.runtimes.api import RuntimeStatus


@pytest.mark.parametrize(
    ("config", "image"),
    [
        ('{"sandboxImage": "registry.test/pause:3.9", "enableSelinux": false}', "registry.test/pause:3.9"),
        ('{"pinnedImages": {"sandbox": "registry.test/pause:3.10"}}', ""),
        ("", ""),
        ("key = value", ""),
    ],
)
def test_what_sandboxes_are_made_of_is_known_where_containerd_1_tells(config: str, image: str) -> None:
    assert RuntimeStatus(conditions=(), info={"config": config}).sandbox_image == image
    assert RuntimeStatus(conditions=()).sandbox_image == ""
