"""What a ControllerRevision keeps of its owner."""

from __future__ import annotations

import json

from steersman.controllers.history import data_of, template_of


def test_data_is_written_in_the_order_of_its_keys_at_every_depth() -> None:
    """Conformance compares the bytes with those of Go's encoder, which sorts maps."""
    container = {"name": "c", "image": "i", "env": [{"value": "v", "name": "n"}]}
    template = {
        "spec": {"restartPolicy": "Always", "containers": [container]},
        "metadata": {"labels": {"b": "", "a": ""}},
    }
    data = data_of({"spec": {"template": template}})
    assert json.dumps(data) == json.dumps(data, sort_keys=True)
    assert list(data["spec"]["template"]) == ["$patch", "metadata", "spec"]
    assert template_of({"data": data}) == template
