"""What a team has chosen in `.kittify/config.yaml`, and how it is refused."""

import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from tests.git.repositories import commit, git, make_repository, write

from thence.errors import PlanningError
from thence.work.project.configuration import (
    AgentConfig,
    BoardOptions,
    GateConfig,
    argv,
    files_named,
    gates_run,
    read_board,
    read_setup,
    setup_of,
)
from thence.work.project.project import find_project
from thence.work.project.project_id import CONFIG

FULL = b"""# of the project
project_uuid: 5b0f4dd1-6b0c-4b2b-8f49-2a4b9d7f0001
others: {stay: [as, they, are]}

orchestrate:
  slots: 6
  retries: 0
  backoff: 1.5s
  implement: [coder, second]   # in this order
  review: [critic]
  agents:
    coder:
      command: [some-agent, --file, "{prompt_file}", 7, true, ""]
      slots: 2
      timeout: 30m
      stall: 5m
      env: {NAME: value, EMPTY: "", NUMBER: 010}
    second:
      command: [sh, -c, 'awk "{print}" | tr {a-z} "${phases}"']
    critic: {command: [other], timeout: 1h, stall: 90}
  gates:
    - {type: CI_CHECK, command: [make, test], timeout: 10m}
    - {type: SECURITY_SCAN, command: [make, scan]}
"""
AGENT = "coder: {command: [some-agent]}"


def refused(text):
    """Returns the error that a configuration is refused with."""
    with pytest.raises(PlanningError) as caught:
        setup_of(text if isinstance(text, bytes) else text.encode())
    assert caught.value.place.startswith(f"{CONFIG}:{caught.value.problems[0]['line']}:")
    assert caught.value.hint
    return caught.value


def with_agents(*lines, agents=AGENT):
    """Returns a configuration with agents and further lines."""
    more = "".join(f"  {line}\n" for line in lines)
    return f"orchestrate:\n  agents: {{{agents}}}\n{more}"


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_all_that_a_configuration_says_is_read(start, end):
    setup = setup_of(start + FULL.replace(b"\n", end))
    assert (setup.slots, setup.retries, setup.backoff_s) == (6, 0, 1.5)
    assert (setup.implement, setup.review) == (("coder", "second"), ("critic",))
    assert setup.agents["coder"] == AgentConfig(
        command=("some-agent", "--file", "{prompt_file}", "7", "true", ""),
        slots=2,
        timeout_s=1800,
        stall_s=300,
        env={"NAME": "value", "EMPTY": "", "NUMBER": "010"},
    )
    assert setup.agents["critic"].timeout_s == 3600
    assert setup.agents["critic"].stall_s == 90
    assert setup.agents["second"].command[2] == 'awk "{print}" | tr {a-z} "${phases}"'
    assert setup.gates == (
        GateConfig("CI_CHECK", ("make", "test"), 600),
        GateConfig("SECURITY_SCAN", ("make", "scan"), 1800),
    )


def test_what_is_left_out_has_defaults():
    agents = "b: {command: [x]}, a: {command: [y], slots: , env: ~}"
    setup = setup_of(with_agents("slots: 3", "review:", agents=agents).encode())
    assert (setup.slots, setup.retries, setup.backoff_s) == (3, 2, 5)
    assert setup.implement == setup.review == setup.gates == ()
    assert setup.agents["a"] == AgentConfig(("y",), 64, 3600, 600, {})
    assert setup_of(with_agents().encode()).slots == 4


def test_configuration_without_agents_is_refused_with_an_example_that_works():
    nothing = [b"", b"a: 1\n", b"orchestrate:\n", b"orchestrate: {}", b"orchestrate: {agents: }"]
    hints = {refused(text).hint for text in nothing}
    assert len(hints) == 1
    example = hints.pop().removeprefix("add ")
    assert list(setup_of(example.encode()).agents) == ["coder"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (with_agents("slot: ¦3"), "orchestrate.slot: Object contains unknown field"),
        (with_agents(agents="a: {command: [x], promt: ¦file}"), "agents.a.promt: Object"),
        (with_agents("gates: [{type: CI_CHECK, command: [x], on: ¦1}]"), "gates.0.on: Object"),
        (with_agents("slots: ¦0"), "slots: Expected `int` >= 1"),
        (with_agents("slots: ¦[4]"), "slots: Expected `int`"),
        (with_agents("backoff: ¦6m"), "backoff: Expected `float` <= 300.0"),
        (with_agents("backoff: ¦1h30m"), "backoff: Expected `float`"),
        (with_agents(agents="a: ¦{slots: 2}"), "agents.a: Object missing required field `command`"),
        (with_agents(agents="a: {command: ¦[]}"), "command: Expected `array` of length >= 1"),
        (with_agents(agents="a: {command: [x, ¦~]}"), "command.1: Expected `str`"),
        (with_agents(agents='a: {command: [x, ¦"\\0"]}'), "command.1: Expected `str` matching"),
        (with_agents(agents="a: ¦some-agent"), "agents.a: Expected `object`"),
        ("orchestrate:\n  ¦agents: {a/b: {command: [x]}}\n", "not an agent's name"),
        (with_agents(agents="a: {command: [x], env: ¦{A: ~}}"), "env: Expected `str`"),
        (with_agents(agents="a: {command: [x]}, ¦a: {command: [y]}"), "a appears twice"),
        (with_agents("implement: ¦[]"), "implement: Expected `array` of length >= 1"),
        ("orchestrate:\n  ¦implement: [a, a]\n  agents: {a: {command: [x]}}", "an agent twice"),
        ("orchestrate:\n  ¦review: [b]\n  agents: {a: {command: [x]}}", "'b', which is not an"),
        (with_agents("gates: [¦{command: [x]}]"), "gates.0: Object missing required field `type`"),
        (with_agents("gates: [{type: ¦TESTS, command: [x]}]"), "type: Invalid enum value 'TESTS'"),
        (
            "orchestrate:\n  ¦gates:\n"
            + 2 * "    - {type: CI_CHECK, command: [x]}\n"
            + "  agents: {a: {command: [x]}}\n",
            "two gates of one type",
        ),
        ("- |\n  a\n¦orchestrate:", "expected <block end>"),
        ("orchestrate:\n  agents: [\n¦", "expected"),
        ("orchestrate: &a {agents: ¦*a, slots: *a}", "it holds itself"),
        ("a: 1\norchestrate: ¦\udcff", "this is not UTF-8"),
        pytest.param("¦orchestrate: " + "x" * 256 * 1024, "more than 262144", id="long"),
        ("board: ¦{branch: 'a..b'}\n", "git takes no name like 'a..b'"),
        ("board: {branches: ¦b}\n", "board.branches: Object contains unknown field"),
        ("board: ¦[team]\n", "board: Expected `object`"),
        ("board: [\n¦", "expected"),
    ],
)
def test_first_problem_is_told_with_its_place(tmp_path, text, cause):
    before, sign, after = text.partition("¦")
    assert sign
    path = tmp_path / CONFIG
    path.parent.mkdir()
    path.write_bytes((before + after).encode("utf-8", "surrogateescape"))
    project = SimpleNamespace(root=tmp_path, here=tmp_path)
    read = read_board if text.startswith("board") else read_setup
    with pytest.raises(PlanningError) as caught:
        read(project)
    assert caught.value.hint
    assert cause in caught.value.cause
    place = f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"
    assert caught.value.place == f"{CONFIG}:{place}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (with_agents("slot: 3"), "slots, retries, backoff, implement, review, agents, gates"),
        (with_agents("slots: {}"), "a whole number"),
        (with_agents("slots: 0"), "write a whole number"),
        (with_agents("landed: here"), "write local or upstream"),
        (with_agents(agents="a: {command: b c}"), "write a list"),
        (with_agents("backoff: soon"), "90s, 5m or 1h"),
        (with_agents(agents="a: {x: 1}"), "command, slots, timeout, stall, env"),
        (with_agents("gates: [{type: TESTS, command: [x]}]"), "CI_CHECK or"),
    ],
)
def test_hint_tells_what_may_be_written(text, hint):
    assert hint in refused(text).hint


def test_bytes_that_are_changed_at_random_give_a_setup_or_an_error_with_a_place():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(80):
        data = bytearray(FULL)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 9)] = chance.choice(
                (b"", b"{", b"]", b": ", b"\n", b"\t", b"*x", b"&x ", b"!!int ", b"\xff", b"- ")
            )
        try:
            assert setup_of(bytes(data)).agents
        except PlanningError:
            refused(bytes(data))


def test_placeholders_are_filled_in_once():
    agent = replace(
        setup_of(FULL).agents["coder"],
        command=("x", "--at={worktree}/{phase}", "{wp_id}{feature}", "{prompt_file}", "{other}"),
    )
    words = {"prompt_file": "{wp_id}", "worktree": "a b; $(c)\\1", "wp_id": "WP01"}
    words |= {"feature": "001-x", "phase": "review"}
    filled = argv(agent.command, Path("/main"), words)
    assert filled == ("x", "--at=a b; $(c)\\1/review", "WP01001-x", "{wp_id}", "{other}")


@pytest.mark.parametrize(
    ("typed", "command", "of_gate"),
    [
        ("coder ./x", "coder ./x", None),
        ("./coder ./x", "/m/coder ./x", "/m/coder ./x"),
        ("tools/coder x", "/m/tools/coder x", "/m/tools/coder x"),
        ("/usr/bin/coder x", "/usr/bin/coder x", None),
        ("{worktree}/coder {main}/x", "/tree/coder /m/x", "/m/{worktree}/coder /m/x"),
        ("sh a/critic.sh b/x", "sh /m/a/critic.sh b/x", "sh a/critic.sh b/x"),
        ("/bin/bash -o errexit -u x.sh", "/bin/bash -o errexit -u /m/x.sh", None),
        ("python3.12 -W error -I a.py a.py", "python3.12 -W error -I /m/a.py a.py", None),
        ("node --require ./x a.js", "node --require ./x /m/a.js", None),
        ("node /x/a.js", "node /x/a.js", None),
        ("bash -ec a.sh", "bash -ec a.sh", None),
        ("python -m a b.py", "python -m a b.py", None),
        ("ruby a.rb", "ruby a.rb", None),
    ],
)
def test_programs_and_scripts_of_agents_are_those_of_the_main_tree(typed, command, of_gate):
    words = {"prompt_file": "p", "wp_id": "WP01", "worktree": "/tree", "phase": "review"}
    assert argv(typed.split(), Path("/m"), words) == tuple(command.split())
    assert argv(typed.split(), Path("/m"), {}) == tuple((of_gate or typed).split())


def test_files_that_commands_name_are_told_with_whose_they_are():
    gate = '{type: CI_CHECK, command: [sh, "{main}/ci.sh", --config=./ci/x.cfg]}'
    named = files_named(setup_of(with_agents(f"gates: [{gate}]").encode()))
    assert named | dict.fromkeys(("ci.sh", "ci/x.cfg"), "the gate CI_CHECK") == named


def test_setup_is_read_from_the_main_working_tree_else_from_where_one_is(tmp_path):
    root = make_repository(tmp_path / "p", {CONFIG: "vcs: git\n"})
    with pytest.raises(PlanningError, match="not mention orchestrate") as caught:
        read_setup(find_project(root))
    assert "coder" in caught.value.hint
    config = root / ".kittify" / "config.yaml"
    commit(root, {CONFIG: f"vcs: git\n{with_agents()}"}, "Configure it")
    git(root, "worktree", "add", "--quiet", "--detach", tmp_path / "w")
    linked = find_project(tmp_path / "w")
    config.write_text(config.read_text() + "  slots: 9\n")
    assert read_setup(linked).slots == 9
    config.unlink()
    assert read_setup(linked).slots == 4
    (tmp_path / "w" / ".kittify" / "config.yaml").unlink()
    with pytest.raises(PlanningError, match="not mention orchestrate") as caught:
        read_setup(linked)
    assert "coder" in caught.value.hint
    config.mkdir()
    with pytest.raises(PlanningError, match="could not read"):
        read_setup(linked)


def test_all_that_a_team_can_choose(tmp_path):
    folder = make_repository(tmp_path)
    project = find_project(folder)
    assert read_board(project) == BoardOptions(branch="thence-board")
    board = "board: {remote: team, branch: boards/one}\n"
    write(folder, {CONFIG: f"project_uuid: {project.uuid}\nother: [tool]\n{board}"})
    assert read_board(project) == BoardOptions("team", "boards/one")
    assert gates_run(project) == frozenset()


def test_problem_of_one_section_or_tool_is_none_of_another(tmp_path):
    project = find_project(make_repository(tmp_path))
    write(tmp_path, {CONFIG: "vcs: git\n  broken: [\n"})
    assert read_board(project) == BoardOptions()
    write(tmp_path, {CONFIG: "board: {remote: team}\norchestrate: [\n]\n"})
    assert read_board(project).remote == "team"


def test_reading_yaml_is_imported_when_it_is_needed():
    code = "import sys, thence.work.orchestrate.orchestrator; print('ruamel.yaml' in sys.modules)"
    nothing_said = "thence.work.project.configuration.land_in(b'project_uuid: x')"
    for question in (code, f"import thence.work.project.configuration; {nothing_said}; {code}"):
        command = [sys.executable, "-c", question]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"
