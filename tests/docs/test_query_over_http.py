"""The page on queries over HTTP: its example in JavaScript, in a browser."""

import re
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from tests.docs.browsing import MISSING, browser_at, page_address
from tests.server.serving import app_serving

from thence.sim import EventWriter, VerbosityLevel
from thence.sim.record.events import create_action_event, create_decision_event

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "team" / "query-over-http.md").read_text(
    "utf-8"
)
ADDRESS = "http://127.0.0.1:8377"
INSTALLS_S = 600


def script(url: str) -> str:
    """The example in JavaScript, asking a server of ours."""
    (example,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert ADDRESS in example
    return example.replace(ADDRESS, url)


def decided(folder: Path, turn: int) -> list[str]:
    """Appends a decision, and an action that the example doesn't ask for; what it shall say."""
    with EventWriter(folder, "demo", verbosity=VerbosityLevel.DETAIL) as writer:
        decision = create_decision_event("demo", turn, "ben", "trade", None, f"sell {turn}")
        assert writer.emit(decision)
        assert writer.emit(create_action_event("demo", turn, "ben", "sell", {"grain": turn}))
    return [decision.event_id, "ben", f"sell {turn}"]


@pytest.mark.promise("Q9")
@pytest.mark.xdist_group("browser")
@pytest.mark.timeout(INSTALLS_S)
def test_javascript_example_hears_each_decision_once_over_a_restart(tmp_path: Path) -> None:
    run = tmp_path / "root" / "demo"
    wanted = [decided(run, turn) for turn in range(3)]
    with page_address() as page, ExitStack() as opened:
        with app_serving(run.parent, cors_origins=[page.origin]) as server:
            opened.enter_context(browser_at(page, script(server.url), tmp_path / "profile"))
            page.wait(len(wanted))
            wanted.append(decided(run, 3))
            page.wait(len(wanted))
            server.process.kill()
        wanted.append(decided(run, 4))  # while nobody serves
        port = httpx2.URL(server.url).port
        with app_serving(run.parent, port=port, cors_origins=[page.origin]):
            page.wait(len(wanted))
            wanted.append(decided(run, 5))
            page.wait(len(wanted))
    assert page.words == wanted


@pytest.mark.xdist_group("browser")
@pytest.mark.timeout(INSTALLS_S)
def test_javascript_example_tells_that_a_page_from_elsewhere_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "root" / "demo"
    decided(run, 1)
    with (
        page_address() as page,
        app_serving(run.parent, cors_origins=["http://elsewhere.example"]) as server,
        browser_at(page, script(server.url), tmp_path / "profile"),
    ):
        page.wait(1)
    assert page.words == [["refused: see the answer's code"]]


def test_browser_that_is_missing_fails_a_test_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.docs.browsing._NAMES", ("chromium",))
    with (
        pytest.raises(pytest.fail.Exception) as failed,
        page_address() as page,
        browser_at(page, "", tmp_path / "profile"),
    ):
        pass
    assert failed.value.msg == MISSING
    assert "apt-get install chromium" in MISSING
