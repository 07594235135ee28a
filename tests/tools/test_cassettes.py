"""Cassettes of shipped scenarios play by their digests, and are written anew where these change."""

import shutil

import pytest
from tests.sim.models.players import MODELS, SCENARIOS
from tools.cassettes import main

from thence.sim import SimulationConfig, SimulationOrchestrator
from thence.sim.record.outcomes import read_lines, read_outcomes


def keys(lines):
    return [(line.step, line.request, line.occurrence) for line in lines]


def play(scenario, folder):
    config = SimulationConfig.from_file(scenario)
    result = SimulationOrchestrator(config, output_root=folder).run()
    return result, read_outcomes(result.output_dir)


@pytest.mark.parametrize("shipped", MODELS, ids=lambda path: path.stem)
def test_shipped_cassette_plays_whole_by_its_digests(shipped, tmp_path):
    result, outcomes = play(shipped, tmp_path)
    assert result.status == "completed", result.error
    assert sorted(outcomes) == sorted(keys(read_lines(shipped.with_suffix(".jsonl"))))


@pytest.mark.parametrize("shipped", MODELS, ids=lambda path: path.stem)
def test_cassette_of_other_requests_is_written_anew_and_plays_the_same(shipped, tmp_path):
    before, _ = play(shipped, tmp_path / "before")
    for file in (*shipped.parent.glob(f"{shipped.stem}.*"), SCENARIOS / "negotiation.py"):
        shutil.copy(file, tmp_path)
    scenario = tmp_path / shipped.name
    cassette = scenario.with_suffix(".jsonl")
    text = scenario.read_text().replace("../scenarios", str(SCENARIOS))
    assert "prompt: |\n      You" in text
    scenario.write_text(text.replace("prompt: |\n      You", "prompt: |\n      Listen. You"))
    assert play(scenario, tmp_path / "old")[0].reason == "paused"
    main([str(scenario)])
    played, outcomes = play(scenario, tmp_path / "new")
    assert played.status == "completed", played.error
    assert played.final_state == before.final_state
    assert sorted(outcomes) == sorted(keys(read_lines(cassette)))
