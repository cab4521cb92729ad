"""A real S3 server on this machine, behind a line that can be slow or break."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator


class Line:
    """A TCP proxy.  cuts: how many of the next connections break after `after` bytes of what the server says; -1: all.
    pause_seconds: before each piece that it passes on."""

    def __init__(self, port: int) -> None:
        self.cuts, self.after, self.pause_seconds, self.broken, self._server = 0, 400, 0.0, 0, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        is_cut = self.cuts != 0
        self.cuts -= self.cuts > 0
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            forth = threading.Thread(target=self._pass, args=(client, server, sys.maxsize), daemon=True)
            forth.start()
            self._pass(server, client, self.after if is_cut else sys.maxsize)
            self.broken += is_cut
            for one in (client, server):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _pass(self, source: socket.socket, target: socket.socket, left: int) -> None:
        with contextlib.suppress(OSError):
            while left > 0 and (content := source.recv(min(left, 1 << 14))):
                time.sleep(self.pause_seconds)
                target.sendall(content)
                left -= len(content)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextlib.contextmanager
def s3_server() -> Iterator[Line]:
    """Run a server in a process of its own, and yield the line to it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    line = Line(port)
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5):
                break
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield line
    finally:
        line.close()
        server.kill()
        server.wait()
