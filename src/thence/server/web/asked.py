"""What a person asks a run's page: the fields of its form, of which empty ones ask nothing."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from thence.core.query.filter import Filter
from thence.errors import InvalidFilter
from thence.server.routes.parameters import LogPage

EVENTS = 100
_LISTS = ("type", "actor", "subject", "stream", "where")


class PageAsked(LogPage):
    """A page of events as a browser asks for it."""

    order: Literal["oldest", "newest"] = "oldest"


class Question(NamedTuple):
    """What was asked, or why it can't be: then `problem` says so and nothing is asked."""

    fields: dict[str, list[str]]
    filter: Filter = Filter()
    cursor: str | None = None
    is_newest_first: bool = False
    problem: str | None = None

    def query(self, **changed: str | None) -> dict[str, str | list[str] | None]:
        """Returns the query of a link to the same question, or to one that differs."""
        kept = {key: values for key, values in self.fields.items() if key != "cursor"}
        return {**kept, **changed}


def question(query: QueryParams) -> Question:
    """Reads what the fields ask."""
    fields: dict[str, list[str]] = {}
    for key, value in query.multi_items():
        if value.strip():
            fields.setdefault(key, []).append(value.strip())
    single = {key: values if key in _LISTS else values[-1] for key, values in fields.items()}
    try:
        asked = PageAsked.model_validate(single)
        return Question(fields, asked.filter(), asked.cursor, asked.order == "newest")
    except ValidationError as error:
        return Question(fields, problem=_first(error))
    except InvalidFilter as error:
        return Question(fields, problem=f"{error}; {error.hint}" if error.hint else str(error))


def shown_values(asked: Question, name: str) -> Iterable[str]:
    """Returns what a field of the form holds: at least one text."""
    return asked.fields.get(name) or [""]


def _first(error: ValidationError) -> str:
    told = error.errors()[0]
    name = ".".join(str(part) for part in told["loc"]) or "the address"
    if told["type"] == "extra_forbidden":
        return f"{name[:100]}: there is no such field"
    return f"{name}: {str(told['msg']).removeprefix('Value error, ')}"
