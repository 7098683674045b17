"""Folders behind hostPath volumes."""

from __future__ import annotations

from pathlib import Path

from steersman.controllers.hostfolders import HostFolders


async def test_a_folder_is_made_and_removed_with_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    await HostFolders().make(str(folder))
    (folder / "file").write_text("x")
    await HostFolders().remove(str(folder))
    assert not folder.exists()
    await HostFolders().remove(str(folder))


async def test_what_a_link_leads_to_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    await HostFolders().remove(str(tmp_path / "link"))
    assert (tmp_path / "kept").is_dir()
    assert not (tmp_path / "link").is_symlink()
