"""No kill loses what a hook or a span was acknowledged for, and none doubles it."""

import random
from pathlib import Path

import pytest
from tests.trace.agents.campaign import Campaign, campaign
from tests.trace.agents.firing import log_in


@pytest.mark.promise("A5a")
def test_no_kill_loses_or_doubles_what_was_acknowledged(tmp_path, env):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    problems, seen = campaign(tmp_path, seed, 40)
    print(dict(seen))
    assert not problems, "\n".join(problems)
    assert seen["hooks acknowledged"] > 10


def test_campaign_notices_what_was_lost(tmp_path: Path, env: dict[str, str]) -> None:
    running = Campaign(tmp_path, random.Random(1))
    while not running.prompts or not running.begun:
        running.round()
    assert running.problems() == []
    lines = (log_in(running.repository) / "events.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if next(iter(running.prompts))[:16].encode() not in line]
    (log_in(running.repository) / "events.jsonl").write_bytes(b"".join(kept))
    assert [problem for problem in running.problems() if problem.startswith("lost: ")]
