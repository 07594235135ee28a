"""The page about a log that grows: each command is run, and says what is shown below it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.docs.walk import environment, masked, walked

import thence
from thence.core.clock import timestamp_of
from thence.core.new_event import HostEvent
from thence.log.write import writer

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "operate" / "look-after-a-log.md"
EVENTS = 23
# the first five of them, five days apart, are older than 90 days
DAYS = 113
NAMES = re.compile(r"\d{4}-\d\d-\d\d(_\d\d-\d\d-\d\d-\d{6}|T[\d:.]+Z)")
COUNTS = re.compile(
    r"\b\d[\d,]* (bytes|events|with|files)|\d+( cause| event)\(s\)|numbers \d+ to \d+"
)


def prepare(folder: Path) -> None:
    """Make the log of a shop that was written for months, a file a day."""
    today = datetime.now(UTC)
    clock = today - timedelta(days=DAYS)
    last = None
    with (
        pytest.MonkeyPatch.context() as patch,
        thence.open(folder / "orders", rotate_after="1d") as log,
    ):
        patch.setattr(writer, "wall_ns", lambda: int(clock.timestamp()) * 10**9)
        for n in range(1, EVENTS):
            subject, actor = f"order/{(n + 1) // 2}", "shop"
            kind = "order.placed" if n % 2 else "order.paid"
            new = HostEvent(
                kind, {"amount": n}, subject, actor, caused_by=last, timestamp=timestamp_of(clock)
            )
            (event,) = log.append_many([new])
            last = event if n % 2 else None
            clock += timedelta(days=5)


def steady(text: str) -> str:
    """Take out what differs from day to day and from machine to machine."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "node", text)
    text = masked(NAMES.sub("moment", text)).replace("~/sync", "~/shop")
    text = re.sub(r"\b\d\d:\d\d\b", "time", text)
    return COUNTS.sub(r"N \1\2", re.sub(r"\s+", " ", text))


@pytest.mark.promise("A5")
def test_page_shows_what_its_commands_say(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with TemporaryDirectory() as short:  # a longer path would be broken into lines
        folder = Path(short).resolve() / "shop"
        folder.mkdir()
        prepare(folder)
        said = walked(PAGE.read_text("utf-8"), folder)
    assert len(said) > 15
    for each in said:
        assert each.status == 0, (each.command, each.said)
        assert steady(each.said) == steady(each.shown), each.command
    assert "XDG_CACHE_HOME" in environment()
