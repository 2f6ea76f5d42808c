"""A real browser shows the page without complaint and without asking anyone for anything."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from d4a.curator.report.content import Column, Threshold
from small_report import Previews, dropped, duplicate, kept

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a server that a page may try to reach."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def open_page(tmp_path: Path, data: bytes) -> tuple[str, list[str]]:
    """The page's elements after it has run, and what the browser's console says."""
    path = tmp_path / "report.html"
    path.write_bytes(data)
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ]
    told = ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", path.as_uri()]
    done = subprocess.run([str(CHROMIUM), *switches, *told], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_opens_silently_and_loads_nothing(tmp_path: Path, page, listener: tuple[str, list[str]]) -> None:
    address, asked = listener
    bad = f"<img src={address}/image><script src={address}/script></script><style>@import '{address}/style'</style><a href={address}>x</a>"
    rows = [kept(0, bad), kept(1), dropped(2, "filter", bad, value=1.0, threshold=2.0, detail=bad), duplicate(3, bad, 0.9)]
    made = page(
        rows,
        scores={"filter.words": pa.array([1.0, 2.0, 3.0, 4.0])},
        columns=[Column("filter", "words", bad, (Threshold("min", 2.0, bad),))],
        previews=Previews(every=("text/plain", bad.encode())),
        dataset={"recipe": {"description": bad}},
    )
    shown, complaints = open_page(tmp_path, made.data)
    assert complaints == [] and asked == []
    assert "<h1>small</h1>" in shown and shown.rstrip().endswith("</html>") and "<script" not in shown


def test_the_listener_would_hear_a_page_that_loads_something(tmp_path: Path, listener: tuple[str, list[str]]) -> None:
    address, asked = listener
    _, complaints = open_page(tmp_path, f"<!doctype html><img src={address}/heard><script>throw 1</script>".encode())
    assert asked == ["/heard"] and complaints
