"""What a run does for its populations; nothing here needs numpy, which a run without any lacks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import force_setattr, replace

from thence.errors import ThenceError
from thence.sim.run.agents import Action, BaseAgent
from thence.sim.run.engine import Writes
from thence.sim.scenario.state import Declaration, Variable, VariableTable

_ROW = re.compile(r"[A-Za-z0-9_-]+/\d+/\w+")
# whose owners may have names that are numbers
OTHER_SCOPES = ("agent/", "global/", "map/", "place/")

if TYPE_CHECKING:
    from thence.sim.populations.population import Population


def populations(agents: Iterable[BaseAgent]) -> "list[Population]":
    """Returns those of the agents that are populations."""
    return cast("list[Population]", [one for one in agents if one.is_many])


def own_variables(agents: Iterable[BaseAgent]) -> dict[str, tuple[Declaration, ...]]:
    """Returns the variables of populations: their columns, in place of the scenario's."""
    return {
        one.name: tuple([Declaration(name=name, kind="dict") for name in one.types])
        for one in populations(agents)
    }


def summaries(own: "Iterable[Population]") -> dict[tuple[str, str], object]:
    """Returns the values of the populations' variables, by (scope, name)."""
    return {
        (f"agent/{one.name}", name): summary
        for one in own
        for name, summary in one.summaries.items()
    }


def digests(
    own: "Sequence[Population]", table: VariableTable, values: Sequence[object]
) -> dict[str, str]:
    """Returns the digest of each population; ThenceError if another component set a column."""
    for (scope, name), summary in summaries(own).items():
        if values[table.index(scope, name)] != summary:
            what, cause = "could not end the turn", "another component set it, and no row changed"
            hint = "only their population's decide changes columns"
            raise ThenceError(what, place=f"{scope}/{name}", cause=cause, hint=hint)
    return {one.name: one.digest for one in own}


def apply_own(
    own: "Sequence[Population]", actions: Sequence[Action], writes: Writes
) -> Sequence[Action]:
    """Lets populations apply their actions, and returns the others, which the engine applies."""
    if not own:
        return actions
    by_name = {one.name: one for one in own}
    for action in actions:
        if action.agent_id in by_name:
            with writes.action(action) as view:
                by_name[action.agent_id].apply_own(view, action)
    return [action for action in actions if action.agent_id not in by_name]


def set_rows(
    own: "Sequence[Population]", table: VariableTable, values: Mapping[str, object], turn: int
) -> Iterable[tuple[Variable, object]]:
    """Sets the rows among `values`, by subject, and yields their columns with the new summaries.

    The subject of such a variable is the row's, which the step of its STATE names.
    """
    for subject, value in values.items():
        if row := row_named(own, subject):
            population, _, column = row
            summary = population.set_row(subject, value, turn)
            variable = replace(table[table.index(f"agent/{population.name}", column)])
            force_setattr(variable, "subject", subject)
            yield variable, summary


def row_named(agents: Iterable[BaseAgent], subject: str) -> "tuple[Population, int, str] | None":
    """Returns the population, row and column that a subject such as people/817/money names."""
    named = [one for one in populations(agents) if one.name == subject.partition("/")[0]]
    return (named[0], *named[0].row_of(subject)) if named else None


def are_rows(patterns: Iterable[str]) -> list[str]:
    """Returns those of the patterns that name the row of a population, as people/817/money."""
    return [one for one in patterns if _ROW.fullmatch(one) and not one.startswith(OTHER_SCOPES)]


def is_summary(value: object) -> bool:
    """Reports whether the value of a variable is the summary of a column."""
    return isinstance(value, dict) and {"type", "rows", "digest"} <= value.keys()


def plain_value(value: Any) -> Any:
    """Returns what a table or picture shows of a value: of a column its sum, else its digest."""
    return value.get("sum", value["digest"]) if is_summary(value) else value
