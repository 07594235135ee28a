"""Pictures of runs by matplotlib, without a display: variables over turns.

The same runs give the same bytes of SVG.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thence.errors import InvalidFilter, NotALog, needs_extra
from thence.files import replacing
from thence.sim.again.sweep import planned_runs
from thence.sim.populations.hooks import are_rows
from thence.sim.results.recorded import open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# the ends of a band
_SHARES = (0.1, 0.9)
_LINES_MAX = 60
Course = dict[int, float]  # turn → value of one run
Lines = dict[str, list[Course]]  # by label


def plot(
    folders: Sequence[Path],
    patterns: Sequence[str],
    output: Path,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draws sweeps and runs into a PNG or SVG file, by its ending.

    Of one run each variable that fits is a line. Else it is a panel, with a line for each run, and
    for each combination of a sweep's settings: that of the run which is nearest to the median of
    all that have come to a turn, in a band that holds 80 % of them; the label says how many there
    are. A dotted line stands where a branch parts from a run beside it. `on_run` is called with how
    many runs are read, and how many there are. Raises ExtraMissing, `not_recorded`, InvalidFilter,
    OSError.
    """
    with needs_extra("plot", "matplotlib"):
        import matplotlib
        from matplotlib.figure import Figure
    figure = Figure(layout="constrained")
    members = [(folder, *member) for folder in folders for member in planned_runs(folder)]
    texts: dict[str, set[str]] = {}
    for _, _, run in members:
        for key, value in run.settings.items():
            texts.setdefault(key, set()).add(str(value))
    varying = [key for key, values in texts.items() if len(values) > 1]
    panels: dict[str, Lines] = {}
    parents: dict[str, Mapping[str, Any]] = {}
    for number, (folder, place, run) in enumerate(members):
        on_run(number, len(members))
        with suppress(NotALog), open_run(place) as recorded:
            of_rows = are_rows(patterns)
            others = [pattern for pattern in patterns if pattern not in of_rows]
            numbers, courses = recorded.courses(others) if others else ([], {})
            if of_rows:
                from thence.sim.populations.why import row_courses

                courses |= row_courses(recorded, of_rows)
                numbers = numbers or [*range(len(courses[of_rows[0]]))]
            parents[run.run_id] = recorded.config.get("parent") or {}
            for name, values in courses.items():
                of_run = [f"{key}={run.settings[key]}" for key in varying if key in run.settings]
                title, label = name, ", ".join(of_run) or "all"
                if len(folders) > 1:
                    label = ", ".join([folder.name, *of_run])
                elif place == folder:
                    title, label = run.run_id, name
                pairs = zip(numbers, values, strict=True)
                course = {turn: one for turn, one in pairs if isinstance(one, int | float)}
                panels.setdefault(title, {}).setdefault(label, []).append(course)
    on_run(len(members), len(members))
    lines = [any(courses) for of_panel in panels.values() for courses in of_panel.values()]
    if not all(lines) or not 0 < len(lines) <= _LINES_MAX:
        cause = f"it is {len(lines)} lines, and 1 to {_LINES_MAX} can be drawn"
        cause = cause if all(lines) else "a line is drawn of numbers, and there are others"
        hint = "name others with --variable"
        raise InvalidFilter("could not draw", key=", ".join(patterns), cause=cause, hint=hint)
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    figure.set_size_inches(6.4 * columns, 4 * rows)
    for number, (title, of_panel) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, number, title=title)
        for run_id, parent in parents.items():
            if len(folders) > 1 and parent.get("run_id") in parents:
                words = f"{run_id} parts, turn {parent['turn']}"
                axes.axvline(parent["turn"], color="0.5", linestyle=":", label=words)
        _draw_lines(axes, of_panel)
    metadata = {"Date": None} if output.suffix == ".svg" else {"Software": None}
    style = matplotlib.rc_context({"svg.hashsalt": "thence", "svg.fonttype": "none"})
    with style, replacing(output) as draft:
        figure.savefig(draft, format=output.suffix[1:], dpi=150, metadata=metadata)


def _draw_lines(axes: "Axes", lines: Lines) -> None:
    import numpy
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    colours = colormaps["tab10" if len(lines) <= 10 else "viridis"].resampled(max(10, len(lines)))
    for number, (label, courses) in enumerate(lines.items()):
        turns = sorted({turn for course in courses for turn in course})
        values = [[course[turn] for course in courses if turn in course] for turn in turns]
        medians = dict(zip(turns, map(numpy.median, values), strict=True))
        # a median hops from run to run: it is no course that any of them took
        longest = max(map(len, courses))
        middle = min(
            (course for course in courses if len(course) == longest),
            key=lambda course: sum(abs(course[turn] - medians[turn]) for turn in course),
        )
        if len(courses) > 1:
            label += f" ({len(courses)} runs"
            last = len(values[-1])
            label += f", {last} at turn {turns[-1]})" if last < len(courses) else ")"
            low, high = numpy.array([numpy.quantile(one, _SHARES) for one in values]).T
            axes.fill_between(turns, low, high, color=colours(number), alpha=0.2, linewidth=0)
        axes.plot([*middle], [*middle.values()], color=colours(number), label=label)
    axes.set_xlabel("turn")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
