"""The agents and gates that a project's configuration names, and how it is refused."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.git.repositories import git, make_repository

from thence.errors import PlanningError
from thence.work.project.agents import AgentConfig, GateConfig, argv, read_setup, setup_of
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
      prompt: file
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
    """Returns place, cause and hint of the error that a configuration is refused with."""
    with pytest.raises(PlanningError) as caught:
        setup_of(text if isinstance(text, bytes) else text.encode(), "c.yaml")
    first = caught.value.problems[0]
    assert caught.value.place == f"c.yaml:{first['line']}:{first['column']}"
    assert caught.value.hint == first["hint"] != ""
    return caught.value.place.removeprefix("c.yaml:"), caught.value.cause, caught.value.hint


def with_agents(*lines, agents=AGENT):
    """Returns a configuration with agents and further lines."""
    more = "".join(f"  {line}\n" for line in lines)
    return f"orchestrate:\n  agents: {{{agents}}}\n{more}"


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_all_that_a_configuration_says_is_read(start, end):
    setup = setup_of(start + FULL.replace(b"\n", end), "c.yaml")
    assert (setup.slots, setup.retries, setup.backoff_s) == (6, 0, 1.5)
    assert (setup.implement, setup.review) == (("coder", "second"), ("critic",))
    assert setup.agents["coder"] == AgentConfig(
        name="coder",
        command=("some-agent", "--file", "{prompt_file}", "7", "true", ""),
        prompt="file",
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
    setup = setup_of(with_agents("slots: 3", "review:", agents=agents).encode(), "c.yaml")
    assert (setup.slots, setup.retries, setup.backoff_s) == (3, 2, 5)
    assert setup.implement == ("b", "a")
    assert setup.review == setup.gates == ()
    assert setup.agents["a"] == AgentConfig("a", ("y",), "stdin", 3, 3600, 600, {})
    assert setup_of(with_agents().encode(), "c.yaml").slots == 4


def test_configuration_without_agents_is_refused_with_an_example_that_works():
    nothing = [b"", b"a: 1\n", b"orchestrate:\n", b"orchestrate: {}", b"orchestrate: {agents: }"]
    hints = {refused(text)[2] for text in nothing}
    assert len(hints) == 1
    example = hints.pop().removeprefix("add ")
    assert list(setup_of(example.encode(), "c.yaml").agents) == ["coder"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (with_agents("¦slot: 3"), "orchestrate has no 'slot'"),
        (with_agents(agents="a: {command: [x], ¦promt: file}"), "agent a has no 'promt'"),
        (with_agents("gates: [{type: CI_CHECK, command: [x], ¦on: 1}]"), "has no 'on'"),
        (with_agents("slots: ¦0"), "slots is not a number from 1 to 64"),
        (with_agents("slots: ¦65"), "slots is not a number"),
        (with_agents("slots: ¦2.5"), "slots is not a number"),
        (with_agents("slots: ¦[4]"), "slots is not a number"),
        (with_agents("retries: ¦-1"), "retries is not a number from 0 to 20"),
        (with_agents("backoff: ¦6m"), "backoff is not a time up to 300 s"),
        (with_agents("backoff: ¦1h30m"), "backoff is not a time"),
        (with_agents("backoff: ¦1d"), "backoff is not a time"),
        (with_agents("backoff: ¦.inf"), "backoff is not a time"),
        (with_agents(agents="a: {command: [x], timeout: ¦0}"), "timeout is nought"),
        (with_agents(agents="a: {command: [x], stall: ¦8d}"), "stall is not a time"),
        (with_agents(agents="a: ¦{slots: 2}"), "agent a has no command"),
        (with_agents(agents="a: ¦{command: }"), "agent a has no command"),
        (with_agents(agents="a: {command: ¦[]}"), "names no program"),
        (with_agents(agents="a: {command: ¦['', x]}"), "names no program"),
        (with_agents(agents="a: {command: [x, ¦[y]]}"), "is not text"),
        (with_agents(agents="a: {command: [x, ¦~]}"), "is not text"),
        (with_agents(agents="a: {command: [x, ¦!y z]}"), "is not text"),
        (with_agents(agents='a: {command: [x, ¦"\\0"]}'), "no program can be given"),
        (with_agents(agents='a: {command: [x, ¦"\\ud800"]}'), "no program can be given"),
        (with_agents(agents="a: {command: ¦{x: y}}"), "command is not a list"),
        (with_agents(agents="a: ¦some-agent"), "agent a is not a map"),
        (with_agents(agents="a: {command: [x], prompt: ¦pipe}"), "prompt is 'pipe'"),
        (with_agents(agents="a: {command: ¦[x], prompt: file}"), "does not name"),
        (with_agents(agents="a: {command: ¦[x, '{promt_file}']}"), "no {promt_file}"),
        (with_agents(agents="a: {command: ¦[x, '{WP_ID}']}"), "no {WP_ID}"),
        (with_agents(agents="a/b: ¦{command: [x]}"), "not an agent's name"),
        (with_agents(agents="a: {command: [x], env: {A=B: ¦c}}"), "not a variable's name"),
        (with_agents(agents="a: {command: [x], env: {A: ¦~}}"), "A is not text"),
        (with_agents(agents="a: {command: [x], env: ¦[A]}"), "is not a map"),
        (with_agents(agents="a: {command: [x]}, ¦a: {command: [y]}"), "a appears twice"),
        (with_agents("implement: ¦[]"), "nobody implements"),
        (with_agents("implement: ¦coder"), "implement is not a list"),
        (with_agents("implement: [coder, ¦coder]"), "coder appears twice in implement"),
        (with_agents("review: [coder, ¦critic]"), "names 'critic', which is not an agent"),
        (with_agents("gates: [¦{command: [x]}]"), "a gate has no type"),
        (with_agents("gates: [{type: ¦TESTS, command: [x]}]"), "type is 'TESTS'"),
        (with_agents("gates: [¦{type: CI_CHECK}]"), "gate CI_CHECK has no command"),
        (
            with_agents(
                "gates:", *[f"  - {sign}{{type: CI_CHECK, command: [x]}}" for sign in ("", "¦")]
            ),
            "two gates CI_CHECK",
        ),
        ("orchestrate: ¦[coder]", "orchestrate is not a map"),
        ("¦- orchestrate", "the file is not a map"),
        ("orchestrate:\n  agents: [\n¦", "expected"),
        ("orchestrate: &a {agents: ¦*a, slots: *a}", "it holds itself"),
        ("a: 1\norchestrate: ¦\udcff", "this is not UTF-8"),
        ("¦#" + "x" * 256 * 1024, "more than 262144"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, cause):
    before, sign, after = text.partition("¦")
    assert sign
    place, found, _ = refused((before + after).encode("utf-8", "surrogateescape"))
    assert cause in found
    assert place == f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"


def test_name_that_is_given_to_a_value_again_is_no_fault():
    text = with_agents("slots: &a 3", "retries: &a 1", "backoff: *a")
    setup = setup_of(text.encode(), "c.yaml")
    assert (setup.slots, setup.retries, setup.backoff_s) == (3, 1, 1)


def test_hints_tell_what_may_be_written():
    assert (
        "slots, retries, backoff, implement, review, agents, gates"
        in refused(with_agents("slot: 3"))[2]
    )
    assert (
        "command, prompt, slots, timeout, stall, env"
        in refused(with_agents(agents="a: {command: [x], x: 1}"))[2]
    )
    assert (
        "[some-agent, --name, a b]"
        in refused(with_agents(agents="a: {command: some-agent --name 'a b'}"))[2]
    )
    assert "some-agent" in refused(with_agents(agents="a: {command: some-agent it's}"))[2]
    assert "{worktree}" in refused(with_agents(agents="a: {command: [x, '{worktre}']}"))[2]
    assert "CI_CHECK" in refused(with_agents("gates: [{type: TESTS, command: [x]}]"))[2]


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file():
    with pytest.raises(PlanningError) as caught:
        setup_of(with_agents("slots: 0", "review: [critic]", "x: 1").encode(), "c.yaml")
    assert "and 2 more problems" in caught.value.cause
    assert [each["line"] for each in caught.value.problems] == [3, 4, 5]


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
            assert setup_of(bytes(data), "c.yaml").agents
        except PlanningError:
            refused(bytes(data))


def test_placeholders_are_filled_in_once():
    agent = replace(
        setup_of(FULL, "c.yaml").agents["coder"],
        command=("x", "--at={worktree}/{phase}", "{wp_id}{feature}", "{prompt_file}", "{other}"),
    )
    filled = argv(
        agent,
        Path("/main"),
        prompt_file="{wp_id}",
        worktree="a b; $(c)\\1",
        wp_id="WP01",
        feature="001-x",
        phase="review",
    )
    assert filled == ("x", "--at=a b; $(c)\\1/review", "WP01001-x", "{wp_id}", "{other}")


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("coder", "coder"),
        ("./coder", "/main {x}/coder"),
        ("tools/coder", "/main {x}/tools/coder"),
        ("/usr/bin/coder", "/usr/bin/coder"),
        ("{worktree}/coder", "/tree/coder"),
    ],
)
def test_program_is_found_beside_the_configuration_if_its_path_is_relative(program, found):
    agent = replace(setup_of(FULL, "c.yaml").agents["coder"], command=(program, "./argument"))
    words = {"prompt_file": "p", "wp_id": "WP01", "feature": "001-x", "phase": "review"}
    assert argv(agent, Path("/main {x}"), worktree="/tree", **words) == (found, "./argument")


def test_setup_is_read_from_the_main_working_tree_else_from_where_one_is(tmp_path):
    root = make_repository(tmp_path / "p", {CONFIG: "vcs: git\n"})
    with pytest.raises(PlanningError, match="nothing of orchestrate") as caught:
        read_setup(find_project(root))
    assert "coder" in caught.value.hint
    config = root / ".kittify" / "config.yaml"
    with config.open("a") as file:
        file.write(with_agents())
    git(root, "add", ".kittify/config.yaml")
    git(root, "commit", "--quiet", "--message", "Configure it")
    git(root, "worktree", "add", "--quiet", "--detach", tmp_path / "w")
    linked = find_project(tmp_path / "w")
    config.write_text(config.read_text() + "  slots: 9\n")
    assert read_setup(linked).slots == 9
    config.unlink()
    assert read_setup(linked).slots == 4
    (tmp_path / "w" / ".kittify" / "config.yaml").unlink()
    with pytest.raises(PlanningError, match="there is no such file") as caught:
        read_setup(linked)
    assert "coder" in caught.value.hint
    config.mkdir()
    with pytest.raises(PlanningError, match="could not read"):
        read_setup(linked)


def test_reading_yaml_is_imported_when_it_is_needed():
    code = "import sys, thence.work.orchestrate.scheduling; print('ruamel.yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
