"""A log, a page, causes and runs show themselves in a notebook: every text of theirs is text."""

import json
from html.parser import HTMLParser
from pathlib import Path

from tests.sim.toys import config

import thence
from thence.sim import SimulationOrchestrator, open_run

HOSTILE = "<script>alert(1)</script>"


class Shown(HTMLParser):
    """A piece of HTML: its tags and its text; every element must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_log_page_causes_and_effects_are_tables_and_lists_of_text(tmp_path: Path) -> None:
    with thence.open(tmp_path / "log") as log:
        first = log.append("order.taken", {"note": HOSTILE}, actor=HOSTILE)
        for number in range(30):
            last = log.append("order.step", {"n": number}, caused_by=[first.event_id])
        shown = {
            "log": Shown(log._repr_html_()),
            "page": Shown(log.query(limit=25)._repr_html_()),
            "why": Shown(log.why(last)._repr_html_()),
            "effects": Shown(log.effects(first)._repr_html_()),
        }
    assert shown["log"].tags.count("tr") == 21
    assert f"last events of {tmp_path / 'log'}" in shown["log"].text
    assert "20 of 31 events" in shown["page"].text
    assert json.dumps({"note": HOSTILE}, separators=(",", ":")) in shown["page"].text
    assert shown["why"].tags.count("li") == 2
    assert "and 10 more" in shown["effects"].text
    assert all("script" not in one.tags for one in shown.values())


def test_run_shows_its_result_and_one_that_is_not_played_its_words(tmp_path: Path) -> None:
    run = SimulationOrchestrator(config(), output_root=tmp_path)
    result = run.run()
    shown = Shown(result._repr_html_())
    assert f"{run.run_id}: completed" in shown.text
    assert "turns" in shown.text
    with open_run(run.output_dir) as recorded:
        assert f"{run.run_id}: completed" in Shown(recorded._repr_html_()).text
