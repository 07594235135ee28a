"""What a run does for its populations; nothing here needs numpy, which a run without any lacks."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from thence.sim.run.agents import Action, BaseAgent
from thence.sim.run.engine import Writes
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.state import Declaration, VariableTable

if TYPE_CHECKING:
    from thence.sim.populations.population import Population

# a row and its column, as people/817/money; owners of other variables may have numbers as names
_ROW = re.compile(r"(?!(agent|global|map|place)/)[A-Za-z0-9_-]+/\d+/\w+")


def populations(agents: Iterable[BaseAgent]) -> "list[Population]":
    """Returns those of the agents that are populations."""
    return cast("list[Population]", [one for one in agents if one.is_many])


def table_of(config: SimulationConfig, agents: Sequence[BaseAgent]) -> VariableTable:
    """Returns the variables of a run with these agents: a population has its columns.

    In a run these begin as their summaries.
    """
    own_vars = {}
    for one in populations(agents):
        first = {name: column.summary for name, column in one.columns.items()}
        own_vars[one.name] = [
            Declaration(name=name, kind="dict", default=first.get(name, {})) for name in one.first
        ]
    return config.table([agent.name for agent in agents], own_vars)


def apply_own(
    own: "Sequence[Population]", actions: Sequence[Action], writes: Writes
) -> Sequence[Action]:
    """Lets populations apply their actions, and returns the others, which the engine applies."""
    by_name = {one.name: one for one in own}
    for action in actions:
        if action.agent_id in by_name:
            with writes.action(action) as view:
                by_name[action.agent_id].apply_own(view, action)
    return [action for action in actions if action.agent_id not in by_name]


def row_named(agents: Iterable[BaseAgent], subject: str) -> "tuple[Population, int, str] | None":
    """Returns the population, row and column that a subject such as people/817/money names."""
    for one in populations(agents):
        if one.name == subject.partition("/")[0]:
            return one, *one.row_of(subject)
    return None


def are_rows(patterns: Iterable[str]) -> list[str]:
    """Returns those of the patterns that name the row of a population, as people/817/money."""
    return [one for one in patterns if _ROW.fullmatch(one)]


def is_summary(value: object) -> bool:
    """Reports whether the value of a variable is the summary of a column."""
    return isinstance(value, dict) and {"type", "rows", "digest"} <= value.keys()


def plain_value(value: Any) -> Any:
    """Returns what a table or picture shows of a value: of a column its sum, else its digest."""
    return value.get("sum", value["digest"]) if is_summary(value) else value
