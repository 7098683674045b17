"""Image layouts: deterministic, and of the shape that the specification asks for."""

from __future__ import annotations

import hashlib
import json
import tarfile
from io import BytesIO
from pathlib import Path

from steersman.cluster.oci import Directory, File, ImageBuild, ImageConfig, Layout, Link, layer

ENTRIES = (
    Directory(path="/bin"),
    File(path="/bin/tool", data=b"#!/bin/sh\n", mode=0o755, uid=1, gid=2),
    Link(path="bin/alias", target="tool"),
    Link(path="bin/same", target="/bin/tool", hard=True),
)


def build(*names: str) -> ImageBuild:
    config = ImageConfig(architecture="amd64", entrypoint=("/bin/tool",), exposed_ports=("80/tcp",), user="1")
    return ImageBuild(names=names or ("a/b:1",), platforms=((config, (ENTRIES,)),))


def test_a_layer_holds_the_entries_and_no_times() -> None:
    with tarfile.open(fileobj=BytesIO(layer(ENTRIES))) as archive:
        tool = archive.getmember("bin/tool")
        assert (tool.mode, tool.uid, tool.gid, tool.mtime) == (0o755, 1, 2, 0)
        assert archive.getmember("bin/alias").linkname == "tool"
        assert archive.getmember("bin/same").islnk()
        assert archive.getmember("bin").isdir()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        layout = Layout()
        layout.add(build())
        layout.write(tmp_path / f"{name}.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_every_descriptor_leads_to_a_blob_of_that_digest_and_size() -> None:
    layout = Layout()
    digest = layout.add(build("a/b:1", "c"))
    files = layout.files()
    index = json.loads(files["index.json"])
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == [
        "docker.io/a/b:1",
        "docker.io/library/c:latest",
    ]
    manifest = json.loads(files[f"blobs/{digest.replace(':', '/')}"])
    for descriptor in (index["manifests"][0], manifest["config"], *manifest["layers"]):
        blob = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert descriptor["size"] == len(blob)
        assert descriptor["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    config = json.loads(files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert config["config"]["Entrypoint"] == ["/bin/tool"]
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]


def test_several_platforms_are_an_index_of_manifests() -> None:
    layout = Layout()
    platforms = tuple((ImageConfig(architecture=name), (ENTRIES,)) for name in ("amd64", "arm64"))
    digest = layout.add(ImageBuild(names=("multi:1",), platforms=platforms))
    inner = json.loads(layout.files()[f"blobs/{digest.replace(':', '/')}"])
    assert [entry["platform"]["architecture"] for entry in inner["manifests"]] == ["amd64", "arm64"]


def test_a_directory_has_the_same_files_as_the_archive(tmp_path: Path) -> None:
    layout = Layout()
    layout.add(build())
    layout.write(tmp_path / "layout")
    layout.write(tmp_path / "layout.tar")
    with tarfile.open(tmp_path / "layout.tar") as archive:
        names = {member.name for member in archive}
    assert names == {
        str(path.relative_to(tmp_path / "layout")) for path in (tmp_path / "layout").rglob("*") if path.is_file()
    }
