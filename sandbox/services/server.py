"""The AWS stand-in and the git host in one process: `python -m sandbox.services.server STATE_FOLDER`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from werkzeug.serving import BaseWSGIServer

from sandbox.aws.server import make_server as make_aws_server
from sandbox.git_host.server import make_server as make_git_server
from sandbox.services import alive
from sandbox.services.layout import lock_file, state_file
from sandbox.state import ServicesState, read_model


def main(directory: Path) -> None:
    """Serve until the process is told to end, or one of the servers fails."""
    os.umask(0o077)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    state = read_model(state_file(directory), ServicesState)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # Never closed: whoever stops this process waits until it is gone altogether.
    alive.hold(lock_file(directory))
    snapshot = directory / "aws" / "snapshot.pickle"
    aws, keep = make_aws_server(state.address, state.aws_port, state.account, state.region, snapshot)
    git = make_git_server(state.address, state.git_port, directory / "git")

    def serve(server: BaseWSGIServer) -> None:
        try:
            server.serve_forever()
        finally:
            ended.set()

    threads = [threading.Thread(target=serve, args=(server,)) for server in (aws, git)]
    for thread in threads:
        thread.start()
    print(f"AWS stand-in on {state.aws_endpoint}, git host on {state.git_url}", flush=True)
    ended.wait()
    for server, thread in zip((aws, git), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()
    keep()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
