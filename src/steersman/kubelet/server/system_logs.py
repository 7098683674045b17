"""``GET /logs/``: the files below /var/log, as Go's file server shows them, and what services have logged."""

from __future__ import annotations

import asyncio
import contextlib
import html
import os
import stat
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from steersman.kubelet.server.node_log_query import Malformed, NodeLogQuery, QueryError, answers, inside, parse_query


class SystemLogs:
    """Nothing above ``root`` is shown: links that lead out of it are not followed."""

    def __init__(self, root: Path, *, journalctl: str = "") -> None:
        """``journalctl``: the program to ask what services have logged; empty: queries are not looked at."""
        self._root = root
        self._journalctl = journalctl

    async def get(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info.get("path", "")
        if not self._journalctl:
            return await self._file(request, wanted)
        try:
            query = parse_query(request.query)
            await asyncio.to_thread(query.check, self._root)
        except QueryError as error:
            return web.Response(status=400 if isinstance(error, Malformed) else 406, text=f"{error}\n")
        if query.services or wanted in ("journal", "journal/"):
            return await self._services(request, query)
        return await self._file(request, query.files[0] if query.files else wanted)

    async def _services(self, request: web.Request, query: NodeLogQuery) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain;charset=UTF-8"})
        if request.headers.get("Accept-Encoding") == "gzip":
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        async with contextlib.aclosing(answers(query, self._root, journalctl=self._journalctl)) as pieces:
            async for piece in pieces:
                await response.write(piece)
        await response.write_eof()
        return response

    async def _file(self, request: web.Request, wanted: str) -> web.StreamResponse:
        if ".." in wanted.split("/"):
            return web.Response(status=400, text="invalid URL path\n")
        try:
            path = await asyncio.to_thread(inside, self._root, wanted)
            status = await asyncio.to_thread(os.stat, path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return web.Response(status=404, text="404 page not found\n")
        if stat.S_ISDIR(status.st_mode):
            if not request.path.endswith("/"):
                return web.Response(status=301, headers={"Location": f"{request.path.rpartition('/')[2]}/"})
            return web.Response(text=await asyncio.to_thread(_listing, path), content_type="text/html", charset="utf-8")
        if not stat.S_ISREG(status.st_mode):
            return web.Response(status=404, text="404 page not found\n")
        if wanted.endswith("/"):
            return web.Response(status=301, headers={"Location": f"../{Path(wanted).name}"})
        return web.FileResponse(path)


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
