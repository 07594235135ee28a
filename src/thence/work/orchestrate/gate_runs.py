"""A gate of the configuration while its command runs, in a private checkout of one commit.

The checkout holds only committed files, no file that an agent has left in its worktree. It is made
under the claim of the package, so that an existing checkout belongs to a killed run, and is
removed.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from thence.errors import GitFailed
from thence.replica import new_id
from thence.work.naming import worktree_of
from thence.work.orchestrate.agent_process import AgentCommand
from thence.work.project.agents import GateConfig
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.repository import Repository
from thence.work.vcs.worktrees import check_out, discard


class GateRun:
    """A gate's private checkout; `close` removes it. Raises GitFailed if it can't be made.

    `folder` is the working folder of the command, `commit` the commit that it judges.
    """

    def __init__(
        self, repo: Repository, root: Path, package: tuple[str, str], gate: GateConfig, commit: str
    ) -> None:
        self.gate = gate
        self.commit = commit
        self._repo = repo
        above, _, name = f"{worktree_of(*package)}-gate-".rpartition("/")
        with suppress(GitFailed, OSError):  # a leftover checkout does no harm
            for left in TreeFiles(root).names(above):
                if left.startswith(name):
                    discard(repo, root / above / left)
        self.folder = root / above / f"{name}{new_id()}"
        check_out(repo, commit, self.folder)

    def order(
        self, output: Path, env: Mapping[str, str], lease: int, passes: tuple[str, ...]
    ) -> AgentCommand:
        """Returns the gate's command; `env`, `lease` and `passes` are as in AgentCommand."""
        return AgentCommand(
            argv=self.gate.command,
            folder=self.folder,
            env=env,
            prompt=b"",
            output=output,
            timeout_s=self.gate.timeout_s,
            stall_s=self.gate.timeout_s,
            lease=lease,
            passes=passes,
        )

    def close(self) -> None:
        """Removes the checkout, with the files that the command has made in it."""
        with suppress(GitFailed, OSError):
            discard(self._repo, self.folder)
