"""KubeletConfiguration files and flags: taken, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from steersman.cli.kubelet import command
from steersman.kubelet.configuration import ConfigurationError, load_configuration, parse_duration, settings_of

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def load(tmp_path: Path, text: str) -> dict[str, object]:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + text)
    return settings_of(load_configuration(file))


def test_a_file_is_understood(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "clusterDNS: [10.96.0.10]\nmaxPods: 50\nstaticPodPath: /manifests\nsyncFrequency: 1m30s\n"
        "cgroupDriver: cgroupfs\nserializeImagePulls: false\nkubeReserved: {cpu: 100m}\nsystemReserved: {cpu: 200m}\n",
    )
    assert found == {
        "cluster_dns": ("10.96.0.10",), "max_pods": 50, "static_pod_path": Path("/manifests"), "sync_s": 90.0,
        "max_parallel_image_pulls": 5, "reserved": {"cpu": "300m"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cgroupDriver: systemd\n", "unsupported options: cgroupDriver"),
        ("noSuchOption: 1\ncpuManagerPolicy: static\n", "unsupported options: cpuManagerPolicy, noSuchOption"),
        ("syncFrequency: soon\n", "syncFrequency: invalid duration"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load(tmp_path, text)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(ConfigurationError, match="is not a KubeletConfiguration"):
        load_configuration(file)


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("0", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--no-such-flag=1"], "No such option"),
        (["--cgroup-driver=systemd"], "cgroup-driver"),
        (["--node-labels=a"], "is not key=value"),
        (["--register-with-taints=a=b"], "is not key=value:effect"),
        (["--sync-frequency=soon"], "invalid duration"),
        (["--config=/no/such/file"], "cannot read"),
    ],
)
def test_bad_flags_are_errors(flags: list[str], complaint: str) -> None:
    result = CliRunner().invoke(command, flags)
    assert result.exit_code == 2
    assert complaint in result.output
