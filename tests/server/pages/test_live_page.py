"""A page of a log that is written to, whose server is killed and begun anew under it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, begin
from tests.docs.walk import free_port
from tests.server.pages.browser import Tab, chromium, tab_of

import thence

BEFORE, SEEN, MEANWHILE, AFTER = 40, 30, 300, 25
_GONE = re.compile(r"ERR_(CONNECTION|INCOMPLETE_CHUNKED|EMPTY_RESPONSE)")


@contextmanager
def served(root: Path, port: int) -> Iterator[None]:
    """Runs a server on a port, and kills it at the end."""
    process = begin(THENCE, "serve", root, "--port", str(port), cwd=root)
    try:
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
        yield
    finally:
        process.kill()
        process.communicate()


def write(log: thence.Log, actor: str, count: int) -> None:
    for number in range(count):
        log.append("task.failed" if number == 0 else "task.done", {}, actor=actor)


def lanes(tab: Tab) -> str | None:
    """What is said of the lanes that are seen."""
    return tab.page.get_attribute(".look-lanes canvas", "aria-label")


@pytest.mark.xdist_group("browser")
def test_page_misses_nothing_while_its_server_is_killed_and_begun_anew(tmp_path: Path) -> None:
    root, port = tmp_path / "root", free_port()
    with thence.open(root / "tasks") as log, chromium() as browser:
        write(log, "ada", BEFORE)
        with tab_of(browser, f"http://127.0.0.1:{port}") as tab:
            with served(root, port):
                tab.go("/runs/tasks")
                tab.wait(lambda: lanes(tab) == "1 lane, event 1 to event 40, 1 failed")
                write(log, "ben", SEEN)
                tab.wait(lambda: lanes(tab) == "2 lanes, event 1 to event 70, 2 failed")
            write(log, "cleo", MEANWHILE)
            with served(root, port):
                tab.wait(lambda: lanes(tab) == "3 lanes, event 1 to event 370, 3 failed")
                write(log, "ada", AFTER)
                tab.wait(lambda: lanes(tab) == "3 lanes, event 1 to event 395, 4 failed")
                tab.page.focus(".look-lanes canvas")
                tab.page.keyboard.press("+")  # from the right end
                tab.page.keyboard.press("+")
                tab.wait(lambda: "event 395" not in (lanes(tab) or ""))
                write(log, "dora", AFTER)
                button = tab.page.get_by_role("button", name="25 new")
                tab.wait(button.is_visible)
                button.click()
                tab.wait(lambda: (lanes(tab) or "").endswith("event 420, 2 failed"))
            lost = [words for words in tab.problems if _GONE.search(words)]
            assert lost
            assert lost == tab.problems, "it only says that nobody answered"
            tab.problems.clear()
