"""The names that a shell completes: scenarios, runs and work packages of this folder.

A completion that fails completes nothing: an error would be written into the line that is typed.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import click

# events of a journal that are looked at
_EVENTS_MAX = 20_000


def _completing(
    names: Callable[[click.Context], Iterable[str]],
) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Returns what click calls to complete a parameter by names, and by files and folders."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        try:
            named = [name for name in names(context) if name.startswith(incomplete)]
        except Exception:  # boundary: whatever is wrong, the shell gets no names of it
            named = []
        items = [CompletionItem(name) for name in named]
        # bash completes either names or files
        return items if items or names is _packages else [CompletionItem(incomplete, "file")]

    return complete


def _scenarios(context: click.Context) -> Iterable[str]:
    from thence.sim.scenario.scenario_file import shipped_files

    return sorted({*(path.stem for path in shipped_files()), *map(str, Path().glob("*.yaml"))})


def _runs(context: click.Context) -> Iterable[str]:
    from thence.cli.output import Output
    from thence.cli.shared.locate import runs

    out = context.find_object(Output)
    return [path.name for path in runs(Path(out.settings.runs if out else "output"))]


def _packages(context: click.Context) -> Iterable[str]:
    from thence.cli.shared.locate import logs_of_repository
    from thence.log.open import open_log

    named = set()
    for place in logs_of_repository(Path(), lambda error: None).values():
        with open_log(place, create=False) as log:
            for event in islice(log.read(), _EVENTS_MAX):
                if event.event_type == "WPCreated":
                    named.add(str(event.payload["wp_id"]))
    return sorted(named)


complete_scenario = _completing(_scenarios)
complete_run = _completing(_runs)
complete_package = _completing(_packages)
