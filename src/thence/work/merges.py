"""What a merge of two commits would be, found out past every working tree."""

import os

from thence.work.repository import Repository

_CONFLICTS = 1


def merged_tree(repo: Repository, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    """Merges two commits and returns the tree, with the files on which they contradict.

    With conflicts the tree holds their marks. Nothing is changed but for new objects. Raises
    GitFailed if git can't merge them at all, such as commits without a common history.
    """
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    answer = repo.git.ask(*arguments)
    if answer.status not in {0, _CONFLICTS} or not answer.out:
        raise repo.git.failed(answer, arguments, doing="could not merge commits in")
    tree, *names = os.fsdecode(answer.out).split("\0")
    return tree.strip(), tuple(dict.fromkeys(name for name in names if name))
