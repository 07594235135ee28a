"""The group `work` with its commands, each imported when it is called."""

from thence.cli.frame import command_group

# name: (the module of the command, its line in the help)
TABLE = {
    "accept": ("merging", "Move reviewed and merged packages to done."),
    "add-history": ("recording", "Record a note about a package."),
    "conflicts": ("looking", "Show conflicting events that clones wrote at once."),
    "errors": ("looking", "Show recent refusals, and what to do about each."),
    "finalize-tasks": (
        "planning",
        "Make work packages: from tasks.md, from a title, from older files.",
    ),
    "gate": ("recording", "Set a gate before a package, or record its result."),
    "implement": ("moving", "Take a package, and make its worktree."),
    "init": ("planning", "Make this repository a project, with instructions for coding agents."),
    "mark-status": ("recording", "Tick the boxes of subtasks in tasks.md."),
    "merge": ("merging", "Merge the branches of packages into their feature's target branch."),
    "move-task": ("moving", "Move a package to another lane, if its guards let it through."),
    "next": ("moving", "Claim the next package that is ready."),
    "orchestrate": ("orchestrating", "Have agent programs work on a feature."),
    "prune": ("merging", "Remove worktrees and branches of packages whose code has landed."),
    "release": ("moving", "Give back a package that you work on."),
    "reopen": ("moving", "Reopen a package that is done."),
    "setup-spec": ("planning", "Begin a feature: its folder, its spec, its branch."),
    "status": ("looking", "Show the board: every work package in its lane."),
}


@command_group(
    "work",
    'thence work finalize-tasks --add "Read the spec"',
    "thence work status",
    table=TABLE,
    package="thence.cli.commands.work",
)
def work_command() -> None:
    """Cut features into work packages, and move them to done."""
