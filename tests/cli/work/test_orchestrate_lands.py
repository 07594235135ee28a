"""An orchestrator whose feature lands by pull requests: it pushes, and waits for the forge."""

import pytest
from tests.cli.work.orchestra import SLUG, orchestrate
from tests.git.repositories import commit, git
from tests.work.boards import on_remote


@pytest.mark.promise("L16")
def test_approved_package_is_pushed_and_done_once_the_forge_has_landed_it(make, tmp_path):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",))
    config = project.folder / ".kittify/config.yaml"
    commit(project.folder, {".kittify/config.yaml": f"land: pull-request\n{config.read_text()}"})
    remote = on_remote(project.folder, tmp_path / "remote.git")
    main = git(project.folder, "rev-parse", "main")
    ended = orchestrate(project)
    assert ended.code == 1
    told = ended.out + ended.err
    assert f"open a pull request from {SLUG}-WP01 into main" in told
    assert "git push origin main" not in told
    assert (git(project.folder, "rev-parse", "main"), git(remote, "rev-parse", "main")) == (
        main,
        main,
    )
    assert project.lanes()["WP01"] == "approved"
    forge = tmp_path / "forge"
    git(tmp_path, "clone", "--quiet", remote, forge)
    git(forge, "merge", "--quiet", "--squash", f"origin/{SLUG}-WP01")
    identity = ("-c", "user.name=Forge", "-c", "user.email=forge@example.org")
    git(forge, *identity, "commit", "--quiet", "--message", "Landed (#7)")
    git(forge, "push", "--quiet", "origin", "main")
    assert orchestrate(project).code == 0
    assert project.lanes()["WP01"] == "done"
    assert git(project.folder, "rev-parse", "main") == main
    (move,) = project.events("WPStatusChanged", new_status="done")
    assert move["actor"] == "critic"
