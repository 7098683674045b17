"""Static pods and their mirrors."""

from __future__ import annotations

import pytest

from steersman.kubelet.mirror_pods import mirror_of
from steersman.kubelet.podspec import is_mirror, is_static
from steersman.kubelet.static_pods import ManifestError, static_pod
from steersman.meta import objects

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: b}]}\n"


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    pod = static_pod(MANIFEST, origin="/f.yaml", node_name="Node-1", seen="now")
    assert objects.key_of(pod) == "default/web-node-1"
    assert pod["spec"]["nodeName"] == "Node-1"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]
    assert is_static(pod) and not is_mirror(pod)


def test_its_identity_is_its_file_and_content() -> None:
    first = static_pod(MANIFEST, origin="/f", node_name="n", seen="1")
    assert objects.uid(first) == objects.uid(static_pod(MANIFEST, origin="/f", node_name="n", seen="2"))
    assert objects.uid(first) != objects.uid(static_pod(MANIFEST, origin="/g", node_name="n", seen="1"))
    changed = static_pod(MANIFEST.replace("image: b", "image: c"), origin="/f", node_name="n", seen="1")
    assert objects.uid(first) != objects.uid(changed)


@pytest.mark.parametrize("text", ["", "[", "kind: Pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "apiVersion: apps/v1\nkind: Deployment"])  # fmt: skip
def test_what_is_no_pod_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        static_pod(text, origin="/f", node_name="n", seen="")


def test_a_mirror_belongs_to_the_node_and_has_no_uid_of_its_own() -> None:
    pod = static_pod(MANIFEST, origin="/f", node_name="n", seen="")
    mirror = mirror_of(pod, {"metadata": {"name": "n", "uid": "node-uid"}})
    assert is_mirror(mirror)
    assert "uid" not in mirror["metadata"]
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
