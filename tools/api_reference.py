"""Writes docs/reference/api.md from the OpenAPI document.

Run it after a change of the routes: `.venv/bin/python tools/api_reference.py`. The house tests
fail while page and document differ.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thence.server.app import create_app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "api.md"

_HEAD = """# The query API

Generated from the OpenAPI document, which the server returns at `/openapi.json`: change the routes,
then run `tools/api_reference.py`. [Query over HTTP](../guides/team/query-over-http.md) shows how to
ask.

All requests are `GET`; `HEAD` returns the same without the body. An unlisted parameter is refused,
and a list is a repeated parameter. The pages for browsers, from `/` and `/runs/{id}` on, are not
part of the API. Responses are JSON unless another type is named.

Every error is a [Problem](#problem): 401 `unauthorized`, 403 `forbidden`, 404
`simulation_not_found`, `event_not_found` or `not_found`, 405 `method_not_allowed`, 422
`invalid_parameter` or `invalid_cursor`, 503 `unavailable`. A route without a list of errors has
401, 403, 404, 422 and 503.

## What to rely on in a live stream

- Events come in the order in which they *arrived*, each id once. Pages show the *total order*, in
  which a cause comes before its effects; for one writer both are the same. To show a list by
  total order, sort by (`lamport_clock`, `node_id`, `event_id`).
- To go from pages to the stream, name the last event of the last page: nothing is missed. An
  event that had arrived after it, and was on a page already, may come again, so look at the ids.
- An id that is not in the log is answered with 404 `event_not_found`, and an `EventSource` then
  stays closed, since any other start would leave a gap. It happens when the run was deleted and
  recreated, or when a power cut lost events that were not on the device yet.
- After 15 seconds of silence a comment (`:`) is sent. A slow reader holds up no one: the server
  continues from the log when it reads again.
- The first question to a large log makes its index, which takes seconds: other logs answer
  in the meantime.
- 200 streams may be open. One more is answered with 503 and `Retry-After`; an `EventSource` then
  stays closed, so open it again.
- In ids that another tool made, `%` and characters that a header can't hold are percent-encoded;
  send them back unchanged.
- A server of your own waits for open answers when it ends: bound that time, for uvicorn by
  `timeout_graceful_shutdown`.
"""
_COMMON_ERRORS = ["401", "403", "404", "422", "503"]
_SHARED_MIN = 2  # routes of one parameter, from which on it is described once, for all of them

Routes = Mapping[str, Mapping[str, Any]]


def reference(document: Mapping[str, Any]) -> str:
    """Returns the page for an OpenAPI document."""
    routes = {path: methods["get"] for path, methods in document["paths"].items()}
    twins = _twins(routes)
    single = {path: told for path, told in routes.items() if path not in twins.values()}
    counts = Counter(_parameter(item) for told in single.values() for item in _parameters(told))
    common = [row for row, count in counts.items() if count >= _SHARED_MIN]
    shared = {row.split("`")[1]: row for row in reversed(common)}.values()  # a name's first one
    rows = [row for row in common if row in shared]
    parts = [_HEAD, "\n".join(["## Parameters of several routes\n", *_table(rows)])]
    for path, told in single.items():
        parts.append("\n".join(_route(path, twins.get(path, ""), told, shared)))
    parts.append("# Shapes\n\nAn event is its stored line and may have more members.\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append("\n".join(_shape(name, schema)))
    return "\n".join(parts)


def _twins(routes: Routes) -> dict[str, str]:
    """Returns the routes of simulations that those of other logs equal, each with its twin."""
    pairs = ((path, path.replace("/simulations/", "/logs/", 1)) for path in routes)
    return {
        path: twin
        for path, twin in pairs
        if path != twin and twin in routes and _content(routes[path]) == _content(routes[twin])
    }


def _content(told: Mapping[str, Any]) -> tuple[object, ...]:
    return told["description"], _parameters(told), told["responses"]


def _parameters(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parameters: list[Mapping[str, Any]] = told.get("parameters", [])
    return parameters


def _table(rows: Sequence[str]) -> Iterator[str]:
    yield "| parameter | in | type | |"
    yield "|---|---|---|---|"
    yield from rows
    yield ""


def _route(path: str, twin: str, told: Mapping[str, Any], shared: Collection[str]) -> Iterator[str]:
    yield f"## `GET {path}`\n"
    yield f"{told['description']}{f' Also `GET {twin}`.' if twin else ''}\n"
    parameters = _parameters(told)
    rows = [row for row in map(_parameter, parameters) if row not in shared]
    if rows:
        yield from _table(rows)
    others = [item for item in parameters if item["in"] != "path" and _parameter(item) in shared]
    also = [f"`{item['name']}`" for item in others]
    if also:
        yield f"{'Also' if rows else 'Parameters'}: {', '.join(also)}.\n"
    yield f"Answers {_answer(told['responses']['200'])}"
    errors = [status for status in told["responses"] if status != "200"]
    yield "" if errors == _COMMON_ERRORS else f"Errors: {', '.join(errors)}.\n"


def _parameter(item: Mapping[str, Any]) -> str:
    schema = item["schema"]
    said = item.get("description") or schema.get("description", "")
    return f"| `{item['name']}` | {item['in']} | {_cell(_type(schema))} | {_cell(said)} |"


def _answer(response: Mapping[str, Any]) -> str:
    kinds = []
    for media, content in response.get("content", {}).items():
        schema = content.get("schema", {})
        shape = _type(schema) if "$ref" in schema else ""
        kinds.append(
            shape if shape and media == "application/json" else f"`{media}` {shape}".rstrip()
        )
    said = response["description"]
    text = "" if said == "Successful Response" else f" {said}"
    return f"{' or '.join(kinds)}.{text}"


def _shape(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{schema['description']}\n"
    for key, member in schema.get("properties", {}).items():
        said = member.get("description", "")
        yield f"- `{key}`: {_type(member)}{f'. {_cell(said)}' if said else ''}"
    yield ""


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any JSON"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return kind + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    told = ""
    if least is not None and most is not None:
        told = f" {least:g} to {int(most)}"
    elif least is not None:
        told = f" from {least:g}"
    default = schema.get("default")
    return told + (f", default {default}" if default not in (None, "", []) else "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> None:
    """Writes the page."""
    PAGE.write_text(reference(create_app(".").openapi()), "utf-8")


if __name__ == "__main__":
    main()
