"""A feature is worked off by agent programs, and the log tells all of it."""

import json

import pytest
from tests.cli.installed import THENCE, thence
from tests.cli.work.orchestra import APPROVE, DO, SLUG, WAIT_S, begun, orchestrate
from tests.cli.work.three_packages import done, moved
from tests.git.repositories import commit, git
from tests.log.committers import until
from tests.tiers import tenth


@pytest.mark.promise("S1")
def test_graph_is_worked_off_and_each_step_is_told(make):
    packages = {"WP01": [], "WP02": ["WP01"], "WP03": ["WP01"], "WP04": ["WP02", "WP03"]}
    project = make(
        packages,
        agents=("coder", "critic"),
        review=("critic",),
        gates=[{"type": "CI_CHECK", "command": ["test", "-f", "README.md"]}],
    )
    ended = orchestrate(project, "--json").done()
    *happenings, result = [json.loads(line) for line in ended.out.splitlines()]
    members = ["kind", "text", "wp_id", "agent", "phase", "seconds"]
    assert all(list(each["happening"]) == members for each in happenings)
    assert {"begun", "moved", "reviewed", "merged", "completed"} == {
        each["happening"]["kind"] for each in happenings
    }
    assert (result["ok"], result["status"], sorted(result["done"])) == (
        True,
        "completed",
        list(packages),
    )
    assert set(project.lanes().values()) == {"done"}
    for wp_id in packages:
        assert (project.folder / f"{wp_id}.txt").read_text() == "done\n"
        told = [
            (
                event["payload"]["agent_id"],
                event["payload"]["phase"],
                event["payload"]["retry_count"],
            )
            for event in project.events("WPAssigned", wp_id=wp_id)
        ]
        assert told == [("coder", "implementation", 0), ("critic", "review", 0)]
        moves = project.events("WPStatusChanged", wp_id=wp_id)
        assert [(move["payload"]["new_status"], move["actor"]) for move in moves] == [
            ("doing", "coder"),
            ("for_review", "coder"),
            ("done", "critic"),
        ]
        assert len(project.events("WorkspaceCreated", work_package_id=wp_id)) == 1
    resolved = project.events("DependencyResolved")
    assert sorted(event["payload"]["wp_id"] for event in resolved) == ["WP02", "WP03", "WP04"]
    (completed,) = project.events("FeatureCompleted")
    assert completed["payload"]["total_wps"] == 4
    assert float(completed["payload"]["total_duration"]) > 0
    assert git(project.folder, "status", "--porcelain") == ""
    assert thence("verify", cwd=project.folder).code == 0
    again = orchestrate(project)
    assert (again.code, len(project.events("FeatureCompleted"))) == (0, 1), again.err
    assert again.out == f"nothing is left to do: all of {SLUG} is done\n"
    plan = json.loads(orchestrate(project, "--dry-run", "--json").out)
    assert (plan["ok"], plan["begins"], plan["waits"]) == (True, [], {})
    moved(project.folder, "WP04", "doing", reason="it was reverted")
    done(project.folder, "implement", "WP04", "--actor", "ada")  # its feature is open again


def test_what_an_agent_appends_has_its_assignment_as_cause(make):
    project = make({"WP01": []})
    said = ["run", str(THENCE), "work", "add-history", "WP01", "halfway", "--feature", SLUG]
    project.tell(WP01=[[said, *DO]])
    assert orchestrate(project).code == 0
    (assigned,) = project.events("WPAssigned")
    (note,) = project.events("HistoryAdded", entry_content="halfway")
    assert note["actor"] == "coder"
    assert assigned["event_id"] in note["caused_by"]
    (completed,) = project.events("FeatureCompleted")
    why = thence("why", completed["event_id"], "--json", cwd=project.folder).out
    assert project.events("SpecCreated")[0]["event_id"] in why


def test_agent_that_fails_is_tried_again_and_then_another_one(make):
    project = make({"WP01": []}, agents=("first", "second"), retries=1)
    project.tell(WP01=[[["print", "no idea"], ["exit", 3]]] * 2 + [[["prompt", "seen"], *DO]])
    orchestrate(project).done()
    told = [
        (event["payload"]["agent_id"], event["payload"]["retry_count"])
        for event in project.events("WPAssigned")
    ]
    assert told == [("first", 0), ("first", 1), ("second", 2)]
    errors = project.events("ErrorLogged", agent_id="first")
    assert [event["payload"]["error_type"] for event in errors] == ["runtime"] * 2
    assert "exit code 3: no idea" in errors[0]["payload"]["error_message"]
    assert "no idea" in (project.folder / "seen").read_text(), "what failed stands in the prompt"


@pytest.mark.parametrize(
    ("steps", "limits", "words"),
    [
        ([["ignore", "SIGTERM"], ["hang"]], {"timeout": tenth(4, 3)}, "took longer than"),
        *tenth([([["hang"]], {"stall": 4}, "printed and committed nothing")], []),
        ([["crash", "SIGSEGV"]], {}, "signal 11"),
        ([["exit", 0]], {}, "holds no commit"),
        ([["write", "left", "behind\n"]], {}, "not committed"),
    ],
)
@pytest.mark.whole
def test_work_that_is_not_handed_in_well_is_done_again(make, steps, limits, words):
    project = make({"WP01": []})
    project.tell(WP01=[steps, DO])
    project.setup(agents=("hasty", "patient"), limits=limits, retries=0)
    orchestrate(project).done()
    (error,) = project.events("ErrorLogged")
    assert words in error["payload"]["error_message"]
    assert project.lanes() == {"WP01": "done"}


def test_package_that_every_agent_fails_at_is_told_with_what_waits_for_it(make):
    project = make({"WP01": [], "WP02": ["WP01"], "WP03": []}, retries=0)
    project.tell(WP01=[[["print", "it is too hard"], ["exit", 9]]])
    ended = orchestrate(project, "--json")
    assert ended.code == 1
    result = json.loads(ended.out.splitlines()[-1])
    assert result["done"] == ["WP03"]
    stranded = {each["wp_id"]: each["reason"] for each in result["stranded"]}
    assert "it is too hard" in stranded["WP01"]
    assert stranded["WP02"] == "waits for WP01"
    assert not project.events("FeatureCompleted")
    project.tell()
    assert orchestrate(project).code == 0, "a new start forgives what failed before"
    assert set(project.lanes().values()) == {"done"}


def test_review_sends_back_with_its_reason_and_lets_the_next_through(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",))
    project.tell(
        WP01=[DO, [["prompt", "seen"], ["commit", "Better"]]],
        WP01__review=[[["verdict", "send back: name the files"]], [["print", "hm"]], APPROVE],
    )
    orchestrate(project).done()
    moves = project.events("WPStatusChanged", wp_id="WP01")
    assert [move["payload"]["new_status"] for move in moves] == [
        "doing",
        "for_review",
        "doing",
        "for_review",
        "done",
    ]
    assert moves[2]["payload"]["reason"] == "name the files"
    assert moves[2]["actor"] == "critic"
    assert "name the files" in (project.folder / "seen").read_text()
    (error,) = project.events("ErrorLogged")
    assert "without a line VERDICT" in error["payload"]["error_message"]


def test_branch_that_conflicts_is_given_back_before_anybody_judges_it(make):
    gates = [{"type": "CI_CHECK", "command": ["test", "-f", "shared"]}]
    setup = {"agents": ("coder", "critic"), "review": ("critic",), "gates": gates, "send_backs": 1}
    project = make({"WP01": [], "WP02": []}, slots=2, **setup)
    both = [["write", "shared", "by {wp}\n"], ["commit", "Do it"]]
    merging = [
        ["run", "git", "merge", "main"],
        ["write", "shared", "by both\n"],
        ["commit", "Merge main"],
    ]
    late = [["wait_for", str(project.folder / "shared")], *both]
    project.tell(
        WP01=[both], WP02=[late, merging], WP02__review=[[["verdict", "send back: no"]], APPROVE]
    )
    orchestrate(project).done()
    assert (project.folder / "shared").read_text() == "by both\n"
    backs = project.events("WPStatusChanged", previous_status="for_review", new_status="doing")
    conflict, review = (back["payload"]["reason"] for back in backs)
    assert "both change shared: merge main into" in conflict
    assert review == "no", "conflicts count apart from what reviews send back"
    judged = [*project.events("WPAssigned", phase="review"), *project.events("GateResultChanged")]
    assert len(judged) == 3 + 2
    assert git(project.folder, "status", "--porcelain") == ""


def test_work_of_the_user_stays_and_a_package_of_a_person_is_left_alone(make):
    project = make({"WP01": [], "WP02": []})
    done(project.folder, "implement", "WP02", "--actor", "ada")
    (project.folder / "README.md").write_text("half done\n")
    before = git(project.folder, "diff")
    ended = orchestrate(project)
    assert ended.code == 1
    assert "WP02 stays: is in doing, with ada" in ended.out
    assert project.lanes() == {"WP01": "done", "WP02": "doing"}
    assert git(project.folder, "diff") == before


def test_file_of_the_user_in_the_way_of_a_merge_is_told_and_waited_for(make):
    project = make({"WP01": []})
    (project.folder / "WP01.txt").write_text("mine\n")
    process = begun(project)
    until(lambda: project.lanes() == {"WP01": "for_review"})
    line = b""
    while b"waiting" not in line:
        line = process.stderr.readline()
    assert b"WP01.txt" in line
    (project.folder / "WP01.txt").unlink()
    _, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, told
    assert (project.folder / "WP01.txt").read_text() == "done\n"


def test_package_does_not_choose_the_program_that_judges_it(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",), send_backs=0)
    config = project.folder / ".kittify/config.yaml"
    before, _, setup = config.read_text().partition("orchestrate:")
    told = json.loads(setup)
    told["agents"]["critic"] = {"command": ["sh", "agents/critic.sh", "README.md"]}
    strict = 'test -f WP01.txt && test -f "$1" && echo "VERDICT: send back: it is never enough"\n'
    files = {"agents/critic.sh": strict, ".kittify/config.yaml": before}
    files[".kittify/config.yaml"] += f"orchestrate: {json.dumps(told)}\n"
    commit(project.folder, files, "Have a critic")
    lax = ["write", "agents/critic.sh", "echo VERDICT: approve\n"]
    project.tell(WP01=[[lax, *DO]])
    ended = orchestrate(project)
    assert (ended.code, project.lanes()) == (1, {"WP01": "doing"}), ended.err
    assert "was sent back 1 times: it is never enough" in ended.out
    noted = "it changes agents/critic.sh, which the command of critic names"
    assert [line for line in ended.err.splitlines() if noted in line], ended.err
