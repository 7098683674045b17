"""Loading images from files: OCI layouts and Docker archives, named whole."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.aio.clock import SystemClock
from steersman.cluster.containerd import Containerd
from steersman.cluster.images import ImageArchiveError, list_images, load
from steersman.cluster.oci import File, ImageBuild, ImageConfig, Layout, layer
from steersman.cluster.rootfs import architecture
from steersman.testing.containerd import missing, private_containerd


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    if why := missing():
        pytest.skip(why)
    with private_containerd(tmp_path_factory.mktemp("images"), number=2) as running:
        yield running


def layout(name: str, content: bytes = b"x") -> Layout:
    made = Layout()
    config = ImageConfig(architecture=architecture())
    made.add(ImageBuild(names=(name,), platforms=((config, ((File(path="a", data=content),),)),)))
    return made


async def names(instance: Containerd) -> set[str]:
    return {image.name for image in await list_images(instance.config)}


@pytest.mark.real
@pytest.mark.parametrize("form", ["directory", "tar", "gzip"])
async def test_an_image_layout_is_loaded_in_every_form(instance: Containerd, tmp_path: Path, form: str) -> None:
    path = tmp_path / ("image" if form == "directory" else "image.tar")
    layout(f"forms/{form}", form.encode()).write(path)
    if form == "gzip":
        packed = tmp_path / "image.tgz"
        with tarfile.open(path) as source, tarfile.open(packed, "w:gz") as target:
            for member in source:
                target.addfile(member, source.extractfile(member))
        path = packed
    loaded = await load(instance.config, path, clock=SystemClock())
    assert loaded == [f"docker.io/forms/{form}:latest"]
    assert set(loaded) <= await names(instance)


@pytest.mark.real
async def test_names_are_found_where_other_tools_put_them(instance: Containerd, tmp_path: Path) -> None:
    """podman and skopeo write the whole name as the reference annotation."""
    layout("will/be/replaced").write(tmp_path / "image")
    index = json.loads((tmp_path / "image/index.json").read_text())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "host.example/team/app:2"}
    (tmp_path / "image/index.json").write_text(json.dumps(index))
    assert await load(instance.config, tmp_path / "image", clock=SystemClock()) == ["host.example/team/app:2"]

    index["manifests"][0]["annotations"] = {}
    (tmp_path / "image/index.json").write_text(json.dumps(index))
    with pytest.raises(ImageArchiveError, match="has no name"):
        await load(instance.config, tmp_path / "image", clock=SystemClock())
    assert await load(instance.config, tmp_path / "image", clock=SystemClock(), name="given:3") == [
        "docker.io/library/given:3"
    ]


@pytest.mark.real
async def test_a_docker_archive_is_loaded(instance: Containerd, tmp_path: Path) -> None:
    path = tmp_path / "docker.tar"
    content = layer([File(path="b", data=b"y")])
    diff_id = f"sha256:{hashlib.sha256(content).hexdigest()}"
    config = {
        "architecture": architecture(),
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    manifest = [{"Config": "config.json", "RepoTags": ["saved:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("layer.tar", content),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert await load(instance.config, path, clock=SystemClock()) == ["docker.io/library/saved:1"]


@pytest.mark.real
async def test_what_is_no_archive_is_refused(instance: Containerd, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("something"), io.BytesIO())
    for name, why in (
        ("text", "could not be opened"),
        ("empty", "no file oci-layout"),
        ("other.tar", "neither an OCI image layout nor a Docker archive"),
        ("missing", "no such file"),
    ):
        with pytest.raises(ImageArchiveError, match=why):
            await load(instance.config, tmp_path / name, clock=SystemClock())


@pytest.mark.real
async def test_damaged_content_is_refused(instance: Containerd, tmp_path: Path) -> None:
    layout("damaged:1", b"seen nowhere else").write(tmp_path / "image")
    for blob in (tmp_path / "image/blobs/sha256").iterdir():
        blob.write_bytes(b"not what the digest says")
    with pytest.raises(ImageArchiveError, match="did not take the image"):
        await load(instance.config, tmp_path / "image", clock=SystemClock())
