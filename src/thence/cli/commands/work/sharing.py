"""The command of `thence work` by which events come from and go to others."""

from thence.cli.commands.work.command_runner import session_command
from thence.cli.shared.render import counted
from thence.work.journal import board_branch
from thence.work.journal.board_remote import link_of
from thence.work.project.configuration import read_board
from thence.work.session.session import CommandResult, Session


def publish(session: Session) -> CommandResult:
    """Push events to other clones, and pull theirs.

    They go to the branch thence-board of the remote, which nothing else uses: no branch of yours
    moves. Events that others have published come with every `git fetch` too.
    """
    repo = session.project.repo
    session.refresh()
    options = read_board(session.project)
    link = link_of(repo, session.refs, options, session.board.targets)
    published = board_branch.publish(session.project, repo, link, session.refresh_events)
    data = {
        "remote": link.remote,
        "branch": link.branch,
        "commit": published.commit,
        "pushed": published.pushed,
        "pulled": session.events_received,
        "redacted": published.redacted,
    }
    name = f"{link.remote}/{link.branch}"
    lines = [f"{name} has all events"]
    if published.commit is not None:
        lines = [f"pushed {counted(published.pushed, 'event')} to {name}"]
    if published.redacted:
        redacted = counted(published.redacted, "line")
        lines.append(f"redacted {redacted} there; older commits of it keep them")
    if session.events_received:
        lines.append(f"pulled {counted(session.events_received, 'event')} of others")
    return session.result(data, lines)


publish_command = session_command(publish, "publish", "thence work publish")
