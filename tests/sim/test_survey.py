"""A survey asks the model agents of a run in one of its turns, and leaves the run as it is."""

import asyncio
import json
import os
import signal

import pytest
from tests.cli.installed import THENCE, begin
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint, Reply
from tests.sim.models.village import generous, user, written
from tests.sim.test_futures import play

from thence.errors import ThenceError
from thence.sim import branch, replay, survey
from thence.sim.record.outcomes import read_lines

QUESTION = "Whom do you trust?"


def answering(body):
    """Plays the game, and answers questions with the first name of the prompt."""
    if QUESTION not in user(body):
        return json.dumps({"note": "I gave", "importance": 5, **json.loads(generous(body))})
    return json.dumps({"answer": "I am " + user(body).split()[2].strip(".")})


@pytest.fixture
def village(tmp_path):
    """A run of three agents with memory and four turns, and the endpoint that it asked."""
    with Endpoint(lambda body: endpoint.script(body)) as endpoint:
        endpoint.script = answering
        scenario = written(tmp_path, endpoint.base_url, keys="memory: 5")
        result = play(scenario, run_id="a", verbosity="STATE")
        assert result.status == "completed"
        yield result.output_dir, endpoint


def files(folder):
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".thence" not in path.parts and not path.name.startswith("survey")
    }


def test_agents_answer_with_the_messages_of_the_turn_and_then_the_question(village):
    folder, endpoint = village
    before, played = files(folder), [one.body["messages"] for one in endpoint.requests]
    table = survey(folder, 3, QUESTION)
    assert [*table] == [
        {"agent": name, "answer": f"I am {name}"} for name in ("ann", "ben", "cleo")
    ]
    for request in endpoint.requests[len(played) :]:
        *earlier, last = request.body["messages"]
        asked = next(one for one in played if last["content"].startswith(one[-1]["content"]))
        assert "It is turn 3." in last["content"]
        assert "I gave" in last["content"]
        assert earlier == asked[:-1]
        assert QUESTION in last["content"]
        schema = request.body["response_format"]["json_schema"]["schema"]
        assert schema["properties"] == {"answer": {"type": "string"}}
    assert files(folder) == before
    assert replay(folder).step == ""


def recorded(folder):
    """The steps of a run's surveys, by turn and question."""
    surveys = {}
    for file in folder.glob("survey-turn-*.jsonl"):
        asked, *answers = read_lines(file)
        surveys[asked.step[0], asked.value["question"]] = {line.step for line in answers}
    return surveys


def test_answers_are_recorded_by_question_and_asked_again_for_nothing(village):
    folder, endpoint = village
    first = [*survey(folder, 3, QUESTION)]
    count = len(endpoint.requests)
    assert [*survey(folder, 3, QUESTION)] == first
    assert len(endpoint.requests) == count
    survey(folder, 3, f"{QUESTION} Now", names=["ben"])
    survey(folder, 2, QUESTION, names=["ben"])
    assert len(endpoint.requests) == count + 2
    assert recorded(folder) == {
        ("2", QUESTION): {"2.decide.ben"},
        ("3", QUESTION): {"3.decide.ann", "3.decide.ben", "3.decide.cleo"},
        ("3", f"{QUESTION} Now"): {"3.decide.ben"},
    }


def test_choices_are_the_only_answers(village):
    folder, endpoint = village
    answers = iter(["perhaps", "yes"])
    endpoint.script = lambda body: json.dumps({"answer": next(answers)})
    table = survey(folder, 5, QUESTION, ["yes", "no"], names=["ann"])
    assert [*table] == [{"agent": "ann", "answer": "yes"}]  # asked once more
    schema = endpoint.requests[-1].body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"] == {"type": "string", "enum": ["yes", "no"]}


def test_agent_without_an_answer_is_none_with_the_reason(village):
    folder, endpoint = village
    endpoint.script = lambda body: (
        "no idea" if "You are ben" in user(body) else json.dumps({"answer": "x"})
    )
    rows = [*survey(folder, 1, QUESTION)]
    assert [row["answer"] for row in rows] == ["x", None, "x"]
    assert "for ben in turn 1" in rows[1]["error"]


def test_survey_has_a_budget_of_its_own_and_goes_on_where_it_stopped(village):
    folder, endpoint = village
    count = len(endpoint.requests)
    with pytest.raises(ThenceError, match="2 of 3 have answered") as caught:
        survey(folder, 2, QUESTION, max_calls=2)
    assert caught.value.code == "budget_spent"
    assert len(survey(folder, 2, QUESTION, max_calls=3)) == 3
    assert len(endpoint.requests) == count + 3


@pytest.mark.parametrize("at", [0, 6])
def test_turn_that_the_run_has_not_reached_is_refused(village, at):
    with pytest.raises(ThenceError, match="it has played 4 turns"):
        survey(village[0], at, QUESTION)


def test_empty_question_is_refused_and_nothing_is_asked(village):
    folder, endpoint = village
    asked = len(endpoint.requests)
    with pytest.raises(ThenceError, match="the question is empty"):
        survey(folder, 2, " ")
    assert len(endpoint.requests) == asked
    assert not [*folder.glob("survey*")]


def test_unknown_agent_is_refused_with_the_nearest(village):
    with pytest.raises(ThenceError) as caught:
        survey(village[0], 2, QUESTION, names=["benn"])
    assert caught.value.hint == "did you mean ben?"


def test_branch_and_paused_run_are_asked_too(village, tmp_path):
    folder, endpoint = village
    branched = branch(folder, 2, set={"agent/ann/money": 90}, run_id="b").run()
    survey(branched.output_dir, 3, QUESTION, names=["ann"])
    assert "money = 90" in user(endpoint.requests[-1].body)
    paused = play(tmp_path / "village.yaml", run_id="c", max_calls=7)
    assert paused.status == "interrupted"
    assert len(survey(paused.output_dir, 3, QUESTION)) == 3


def test_survey_is_asked_in_a_running_loop_too(village):
    async def notebook():
        return [*survey(village[0], 2, QUESTION, names=["ann"])]

    assert asyncio.run(notebook()) == [{"agent": "ann", "answer": "I am ann"}]


def test_command_writes_the_answers_as_lines_a_file_or_json(village, tmp_path):
    words = ("sim", "survey", "a", "--at", "3", "--question", QUESTION)
    shown = warm(*words, cwd=tmp_path)
    assert (shown.code, shown.out) == (0, "ann   I am ann\nben   I am ben\ncleo  I am cleo\n")
    written_file = warm(*words, "--agent", "ben", "-o", "answers.csv", cwd=tmp_path)
    assert written_file.out == "1 answer in answers.csv\n"
    assert (tmp_path / "answers.csv").read_text().split() == ["agent,answer", "ben,I", "am", "ben"]
    assert warm(*words, "--json", cwd=tmp_path).json["answers"][0] == {
        "agent": "ann",
        "answer": "I am ann",
    }


def test_killed_survey_pays_for_the_rest_alone(village, tmp_path):
    folder, endpoint = village
    count = len(endpoint.requests)
    endpoint.script = lambda body: (
        Reply(hangs=True) if "You are cleo" in user(body) else answering(body)
    )
    process = begin(THENCE, "sim", "survey", "a", "--at", "2", "--question", QUESTION, cwd=tmp_path)
    while len(endpoint.requests) < count + 3 or [*map(len, recorded(folder).values())] != [2]:
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    endpoint.script = answering
    survey(folder, 2, QUESTION)
    assert len(endpoint.requests) == count + 4
