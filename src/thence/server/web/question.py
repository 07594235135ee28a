"""The question of a person to a run's page: the fields of its form, without the empty ones."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from thence.core.query.filter import Filter
from thence.errors import InvalidFilter
from thence.server.routes.parameters import LogPage

EVENTS = 100
_LISTS = ("type", "actor", "subject", "stream", "where")


class PageParameters(LogPage):
    """A page of events as a browser asks for it."""

    order: Literal["oldest", "newest"] = "oldest"


class Question(NamedTuple):
    """The fields of a form with their filter, or the `problem` of a form that can't be read."""

    fields: dict[str, list[str]]
    filter: Filter = Filter()
    cursor: str | None = None
    is_newest_first: bool = False
    problem: str | None = None

    def query(self, **changed: str | None) -> dict[str, str | list[str] | None]:
        """Returns the query of a link to the same question, or to a changed one."""
        kept = {key: values for key, values in self.fields.items() if key != "cursor"}
        return {**kept, **changed}


def read_question(query: QueryParams) -> Question:
    """Reads the fields of the form."""
    fields: dict[str, list[str]] = {}
    for key, value in query.multi_items():
        if value.strip():
            fields.setdefault(key, []).append(value.strip())
    single = {key: values if key in _LISTS else values[-1] for key, values in fields.items()}
    try:
        page = PageParameters.model_validate(single)
        return Question(fields, page.filter(), page.cursor, page.order == "newest")
    except ValidationError as error:
        return Question(fields, problem=_first_problem(error))
    except InvalidFilter as error:
        return Question(fields, problem=f"{error}; {error.hint}" if error.hint else str(error))


def shown_values(question: Question, name: str) -> Iterable[str]:
    """Returns the texts of a field of the form, at least one."""
    return question.fields.get(name) or [""]


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "the address"
    if first["type"] == "extra_forbidden":
        return f"{name[:100]}: there is no such field"
    return f"{name}: {str(first['msg']).removeprefix('Value error, ')}"
