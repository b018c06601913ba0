"""Fixtures: an empty cache, and a local server with configurable failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from vaebench.data import download


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty cache folder, with neither ``VAEBENCH_DATA``, a proxy, nor pauses between attempts."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(download, "cache_folder", lambda: folder)
    monkeypatch.delenv("VAEBENCH_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return folder


@dataclass
class Served:
    """Files and behaviour of the server."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Name and Range header of each request."""
    failures: int = 0
    """Number of requests answered with status 500 before one is served."""
    ranges: bool = True
    sent_fraction: float = 1.0
    """Fraction of the body that is sent."""
    pause: float = 0.0
    """Seconds between blocks of the body."""


def _handler(state: list[Served]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served, name = state[0], unquote(self.path[1:])
            wanted = self.headers.get("Range")
            served.requests.append((name, wanted))
            if served.failures > 0 or name not in served.files:
                code = 500 if served.failures > 0 else 404
                served.failures -= 1
                self.send_error(code)
                return
            body = served.files[name]
            if wanted and served.ranges:
                first, last = wanted.removeprefix("bytes=").split("-")
                body = body[int(first) : int(last) + 1]
                self.send_response(206)
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.send(served, body[: int(served.sent_fraction * len(body))])

        def send(self, served: Served, body: bytes) -> None:
            try:
                for start in range(0, len(body), 1 << 14):
                    self.wfile.write(body[start : start + (1 << 14)])
                    time.sleep(served.pause) if served.pause else None
            except OSError:
                pass  # the client has read enough

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def served(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Local server that replaces all official mirrors."""
    state: list[Served] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.append(Served(f"http://127.0.0.1:{server.server_address[1]}/"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(download, "MIRRORS", dict.fromkeys(download.MIRRORS, (state[0].address,)))
    yield state[0]
    server.shutdown()
    thread.join()
    server.server_close()
