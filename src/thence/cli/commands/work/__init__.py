"""The group `work` with its commands, each imported when it is called."""

from thence.cli.frame import command_group

# name: (the module of the command, its line in the help)
TABLE = {
    "accept": ("merging", "Move reviewed and merged packages to done."),
    "add-history": ("moving", "Record a note about a package, or a review of it."),
    "create-feature": ("planning", "Begin a feature: its folder, its spec, its branch."),
    "finalize-tasks": (
        "planning",
        "Create work packages: from tasks.md, from a title, from older files.",
    ),
    "implement": ("moving", "Claim a package, or the next ready one, and create its worktree."),
    "mark-status": ("moving", "Tick the boxes of subtasks in tasks.md."),
    "merge": ("merging", "Merge the branches of packages, and remove what has landed."),
    "move-task": ("moving", "Move a package to another lane, or record its gates' results."),
    "orchestrate": ("orchestrating", "Have agent programs work on a feature."),
    "setup-spec": ("planning", "Begin a feature: its folder, its spec, its branch."),
    "status": ("looking", "Show the board: every work package in its lane."),
}


@command_group(
    "work",
    'thence work setup-spec "Sync in the background"',
    "thence work status",
    sections={"Commands": TABLE},
    package="thence.cli.commands.work",
)
def work_command() -> None:
    """Split features into work packages, and move them to done."""
