"""Features done by agents: the pages show what the commands say, and it is all true."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.docs.walk import environment, made, masked, walked

GUIDES = Path(__file__).parents[2] / "docs" / "guides" / "work"


@pytest.mark.promise("S1")
@pytest.mark.parametrize(
    ("page", "count"), [("orchestrate.md", 3), ("orchestrate-coding-agents.md", 2)]
)
def test_three_agents_finish_a_feature_as_the_page_shows(tmp_path, page, count):
    folder = made(tmp_path.resolve() / "sync")
    for each in walked((GUIDES / page).read_text("utf-8"), folder):
        assert each.status == 0, each.said
        assert masked(each.said) == masked(each.shown), each.command
    done = subprocess.run(
        ["thence", "work", "status", "--json"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=True,
    )
    (feature,) = json.loads(done.stdout)["features"]
    assert (feature["is_completed"], feature["progress"]) == (True, {"done": count, "total": count})
