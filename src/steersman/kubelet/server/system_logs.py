"""``GET /logs/``: the files below /var/log, as Go's file server shows them."""

from __future__ import annotations

import asyncio
import html
import os
import stat
from pathlib import Path
from urllib.parse import quote

from aiohttp import web


class SystemLogs:
    """Nothing above ``root`` is shown: links that lead out of it are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def get(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info.get("path", "")
        if ".." in wanted.split("/"):
            return web.Response(status=400, text="invalid URL path\n")
        try:
            path = await asyncio.to_thread(self._resolve, wanted)
            status = await asyncio.to_thread(os.stat, path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return web.Response(status=404, text="404 page not found\n")
        if stat.S_ISDIR(status.st_mode):
            if not request.path.endswith("/"):
                return web.Response(status=301, headers={"Location": f"{request.path.rpartition('/')[2]}/"})
            return web.Response(text=await asyncio.to_thread(_listing, path), content_type="text/html", charset="utf-8")
        if not stat.S_ISREG(status.st_mode):
            return web.Response(status=404, text="404 page not found\n")
        if request.path.endswith("/"):
            return web.Response(status=301, headers={"Location": f"../{Path(wanted).name}"})
        return web.FileResponse(path)

    def _resolve(self, wanted: str) -> Path:
        root = self._root.resolve()
        path = (root / wanted.strip("/")).resolve(strict=True)
        if path != root and root not in path.parents:
            raise FileNotFoundError(wanted)
        return path


def _listing(folder: Path) -> str:
    lines = []
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        name = entry.name + ("/" if entry.is_dir() else "")
        lines.append(f'<a href="{quote(name)}">{html.escape(name)}</a>')
    return (
        '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'
        + "\n".join(lines)
        + "\n</pre>\n"
    )
