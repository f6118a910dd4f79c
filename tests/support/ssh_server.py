"""An SSH server of the test's own: a real one, which lets known keys read repositories with git's own upload-pack."""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from tests.support.repository import Repository, new_repository

HOST, USER = "127.0.0.1", "git"


@dataclass
class SshServer:
    """Serves the repositories below a folder.

    Attributes:
        root: the folder, with `OWNER/NAME.git`.
        key: its host key.
        port: where it listens.
        allowed: the public keys that may read.
        asked: the commands that it was asked to run, in order.
    """

    root: Path
    key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    port: int = 0
    allowed: list[asyncssh.SSHKey] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def repository(self, name: str = "ann/shop") -> Repository:
        """Make a repository on it; its commits are served at once."""
        repository = new_repository(self.root / f"{name}.git")
        repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
        return repository

    def address(self, name: str = "ann/shop") -> str:
        """Where to clone it from."""
        return f"ssh://{USER}@{HOST}:{self.port}/{name}.git"

    def known_hosts(self, key: asyncssh.SSHKey | None = None) -> str:
        """A file known_hosts with the server's key, or with another one in its place."""
        return f"[{HOST}]:{self.port} {(key or self.key).export_public_key().decode().strip()}\n"

    async def serve(self) -> asyncssh.SSHAcceptor:
        """Listen."""
        served = self

        class Server(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return username == USER and key in served.allowed

        acceptor = await asyncssh.listen(
            HOST, 0, server_factory=Server, server_host_keys=[self.key], process_factory=self._run, encoding=None
        )
        self.port = acceptor.get_port()
        return acceptor

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.asked.append(process.command or "")
        words = shlex.split(process.command or "")
        if len(words) != 2 or words[0] != "git-upload-pack":
            process.stderr.write(b"only git-upload-pack is served\n")
            process.exit(1)
            return
        pipe = asyncio.subprocess.PIPE
        git = await asyncio.create_subprocess_exec(
            "git", "upload-pack", str(self.root / words[1].lstrip("/")), stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert git.stdin is not None
        given = asyncio.create_task(_copy(process.stdin, git.stdin))
        await asyncio.gather(_copy(git.stdout, process.stdout), _copy(git.stderr, process.stderr))
        given.cancel()
        await asyncio.gather(given, return_exceptions=True)
        process.exit(await git.wait())


async def _copy(source: Any, target: Any) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()


@contextmanager
def ssh_server(root: Path) -> Iterator[SshServer]:
    """Serve a folder as long as the block."""
    told, loop = SshServer(root), asyncio.new_event_loop()
    acceptor = loop.run_until_complete(told.serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield told
    finally:
        asyncio.run_coroutine_threadsafe(_close(acceptor), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _close(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    await acceptor.wait_closed()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.gather(*others, return_exceptions=True)
