"""A browser as a reader of the docs has it: Chromium without a window, and a page of one script."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.system_packages import provided
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

ENDS_S = 60
SAYS_S = 60
LOOK_EVERY_S = 0.1
_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
MISSING = (
    "there is no Chromium to run the examples in JavaScript in.\n"
    "Install it: apt-get install chromium (Debian), dnf install chromium (Fedora), "
    "brew install --cask chromium (macOS).\n"
    "To leave these tests out: make test ARGS=\"-k 'not javascript'\""
)
# what the script says is sent home one by one, in order
_PAGE = """<!doctype html><title>example</title><link rel="icon" href="data:,"><script>
let sent = Promise.resolve();
console.log = (...said) => {
  sent = sent.then(() => fetch("/said", { method: "POST", body: JSON.stringify(said) }));
};
</script><script>
%s
</script>
"""
_OPTIONS = (
    "--headless",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
)


class Said:
    """An address for a page of one script, and what the script has said by `console.log`."""

    def __init__(self) -> None:
        self.script = ""
        self.words: list[Any] = []
        self._more = threading.Condition()
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer((_PAGE % here.script).encode())

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                here._add(json.loads(self.rfile.read(size)))
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def wait(self, count: int) -> None:
        """Waits until the script has spoken so often."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.words) >= count, SAYS_S), self.words

    def _add(self, words: Any) -> None:
        with self._more:
            self.words.append(words)
            self._more.notify_all()


@contextmanager
def page_address() -> Iterator[Said]:
    """Serves a page at an origin of its own, which is known before the script is."""
    said = Said()
    thread = threading.Thread(target=said.server.serve_forever)
    thread.start()
    try:
        yield said
    finally:
        said.server.shutdown()
        thread.join()
        said.server.server_close()


@contextmanager
def browser_at(said: Said, script: str, profile: Path) -> Iterator[None]:
    """Has a browser open a page of that script until the block ends."""
    said.script = script
    with _running([*_OPTIONS, f"--user-data-dir={profile}", said.origin]):
        yield


@contextmanager
def _running(options: Sequence[str]) -> Iterator[None]:
    """Runs a browser until the block ends."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [provided("chromium", chromium_path, MISSING), *sandbox, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Tab:
    """The page of a browser, which is asked over its DevTools.

    The browser's own `--dump-dom` may end amid a change of pages, and prints nothing then.
    """

    def __init__(self, port_file: Path) -> None:
        self._port_file = port_file

    def wait_for(self, text: str) -> None:
        """Waits until the page shows a text, through the pages between."""
        end_s = time.monotonic() + SAYS_S
        shown = ""
        while text not in shown:
            assert time.monotonic() < end_s, f"{text!r} is not in {shown!r}"
            time.sleep(LOOK_EVERY_S)
            shown = self.run("document.body.innerText")

    def run(self, script: str) -> str:
        """Returns what a script comes to as a text; empty while there is no page."""
        try:
            port = self._port_file.read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=ENDS_S) as answer:
                targets = json.load(answer)
            page = next(target for target in targets if target["type"] == "page")
            with connect(page["webSocketDebuggerUrl"], open_timeout=ENDS_S, proxy=None) as channel:
                params = {"expression": script, "returnByValue": True}
                call = {"id": 1, "method": "Runtime.evaluate", "params": params}
                channel.send(json.dumps(call))
                said = json.loads(channel.recv(timeout=ENDS_S))
            return str(said["result"]["result"].get("value", ""))
        except (OSError, LookupError, ValueError, StopIteration, WebSocketException):
            return ""  # it begins, or is between two pages


@contextmanager
def browsing(address: str, profile: Path) -> Iterator[Tab]:
    """Runs a browser that begins at an address until the block ends."""
    options = [*_OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    with _running([*options, address]):
        yield Tab(profile / "DevToolsActivePort")


def chromium_path() -> str | None:
    """Returns the program's path, if there is any."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)
