"""Who a container runs as, and what is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from steersman.kubelet.podspec import app_containers
from steersman.kubelet.runtimes.containers import ContainerSecurityContext
from steersman.kubelet.runtimes.images import Image
from steersman.kubelet.runtimes.sandboxes import SELinuxOption
from steersman.kubelet.sandbox_config import forbidden_sysctls
from steersman.kubelet.security_context import SecurityContextError, container_security_context, namespaces
from steersman.kubelet.user_namespaces import HOST
from steersman.meta.objects import Object
from tests.kubelet.pods import container, pod


def context(obj: Object, image: Image | None = None) -> ContainerSecurityContext:
    [only] = app_containers(obj)
    return container_security_context(obj, only, image=image, users=HOST, seccomp_root="/seccomp")


def test_the_containers_word_counts_over_the_pods() -> None:
    obj = pod(
        container(
            securityContext={"runAsUser": 2, "allowPrivilegeEscalation": False, "capabilities": {"add": ["NET_ADMIN"]}}
        ),
        securityContext={"runAsUser": 1, "runAsGroup": 3, "fsGroup": 4, "supplementalGroups": [5]},
    )
    found = context(obj)
    assert (found.run_as_user, found.run_as_group, found.supplemental_groups) == (2, 3, (4, 5))
    assert found.no_new_privs
    assert found.capabilities is not None and found.capabilities.add == ("NET_ADMIN",)


def test_the_images_user_is_used_where_none_is_given() -> None:
    assert context(pod(), Image(id="i", uid=7)).run_as_user == 7
    assert context(pod(), Image(id="i", username="web")).run_as_username == "web"


@pytest.mark.parametrize(
    ("own", "image", "complaint"),
    [
        ({"runAsNonRoot": True}, Image(id="i", uid=0), "image will run as root"),
        ({"runAsNonRoot": True}, Image(id="i"), "image will run as root"),
        ({"runAsNonRoot": True}, Image(id="i", username="web"), "non-numeric user \\(web\\)"),
        ({"runAsNonRoot": True, "runAsUser": 0}, Image(id="i", uid=5), "breaks non-root policy"),
    ],
)
def test_root_is_refused_where_the_pod_says_so(own: Object, image: Image, complaint: str) -> None:
    with pytest.raises(SecurityContextError, match=complaint):
        context(pod(container(securityContext=own)), image)


def test_seccomp_profiles() -> None:
    def profile(**own: Object) -> tuple[str, str]:
        found = context(pod(container(securityContext=own))).seccomp
        assert found is not None
        return found.type, found.localhost_ref

    assert profile() == ("Unconfined", "")
    assert profile(seccompProfile={"type": "RuntimeDefault"}) == ("RuntimeDefault", "")
    assert profile(seccompProfile={"type": "Localhost", "localhostProfile": "p.json"}) == (
        "Localhost",
        "/seccomp/p.json",
    )


def test_what_is_hidden_in_proc() -> None:
    usual = context(pod())
    assert "/proc/kcore" in usual.masked_paths and "/proc/sys" in usual.readonly_paths
    assert context(pod(container(securityContext={"procMount": "Default"}))) == usual
    bare = context(pod(container(securityContext={"procMount": "Unmasked"})))
    assert (bare.masked_paths, bare.readonly_paths) == ((), ())


def test_selinux_labels_go_to_the_runtime_the_containers_before_the_pods() -> None:
    label = {"user": "u", "role": "r", "type": "t", "level": "s0:c1,c2"}
    found = context(pod(securityContext={"seLinuxOptions": label}))
    assert found.selinux == SELinuxOption(user="u", role="r", type="t", level="s0:c1,c2")
    own = context(
        pod(container(securityContext={"seLinuxOptions": {"level": "s0"}}), securityContext={"seLinuxOptions": label})
    )
    assert own.selinux == SELinuxOption(level="s0")
    assert context(pod()).selinux is None


def test_namespaces() -> None:
    usual = namespaces(pod(), HOST)
    assert (usual.network, usual.pid, usual.ipc, usual.user) == ("POD", "CONTAINER", "POD", HOST)
    assert namespaces(pod(shareProcessNamespace=True), HOST).pid == "POD"
    assert namespaces(pod(hostPID=True, hostIPC=True, hostNetwork=True), HOST).pid == "NODE"


def test_an_ephemeral_container_joins_the_processes_of_its_target_and_nothing_else() -> None:
    obj = pod(hostIPC=True)
    [only] = app_containers(obj)
    joined = container_security_context(obj, only, image=None, users=HOST, target_id="abc", seccomp_root="/seccomp")
    assert joined.namespaces == replace(namespaces(obj, HOST), pid="TARGET", target_id="abc")


def test_unsafe_sysctls_need_permission() -> None:
    obj = pod(
        securityContext={
            "sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}, {"name": "kernel.msgmax", "value": "1"}]
        }
    )
    assert forbidden_sysctls(obj, []) == ["kernel.msgmax"]
    assert forbidden_sysctls(obj, ["kernel.msg*"]) == []
