"""The frame of every page: head, landmarks, style, script, and the headers that forbid all else.

Script and style are files, each under an address that changes with any of them.
"""

import re
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from thence.core.markup import Child, Html, el, joined, path
from thence.server.http.middleware import OPEN_PREFIX

MEDIA_TYPE = "text/html; charset=utf-8"
_START = "look.js"  # the module that imports all others
_HOW_FAR = re.compile(r"([0-9,]+) of (?:about )?([0-9,]+) events", re.ASCII)
_KEPT_S = 365 * 24 * 60 * 60
_DIGEST_BYTES = 8
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(title: str, *body: Child, trail: tuple[Html, ...] = (), status: int = 200) -> Response:
    """Returns a page; `trail` is the path of links from the list of all logs to the page."""
    home = el("a", "thence", href="/", class_="brand")
    steps = [el("li", step) for step in (home, *trail)]
    base, names = static_base(), static_names()
    modules = [f"{base}/{name}" for name in names if name.endswith(".js")]
    head = joined(
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · thence" if trail or status != 200 else title),
        el("link", rel="icon", href="data:,"),
        el("link", rel="stylesheet", href=f"{base}/style.css"),
        *(el("link", rel="modulepreload", href=module) for module in modules),
        el("script", type="module", src=f"{base}/{_START}"),
    )
    content = joined(
        el("a", "Skip to the content", href="#content", class_="skip"),
        el("header", el("nav", el("ol", *steps), aria_label="Breadcrumb")),
        el("main", *body, id="content", tabindex="-1"),
        el(
            "footer",
            el("a", "Documents", href="/docs"),
            el("a", "API document", href="/openapi.json"),
            el("a", "Health", href="/health"),
        ),
    )
    html = "<!doctype html>" + el("html", el("head", head), el("body", content), lang="en")
    headers = {"Content-Security-Policy": _POLICY, "Content-Type": MEDIA_TYPE}
    return Response(html.encode(errors="backslashreplace"), status, headers)


def part_of(page: Response, name: str | None) -> Response:
    """Returns a page, or its main element alone, which a script puts into another page."""
    if name != "main":
        return page
    html = bytes(page.body)  # texts are escaped: only an element looks like one
    main = html[html.index(b"<main") : html.rindex(b"</main>") + len(b"</main>")]
    headers = {"Content-Security-Policy": _POLICY, "Content-Type": MEDIA_TYPE}
    return Response(main, page.status_code, headers)


def problem_page(status: int, message: str) -> Response:
    """Returns a page that reports an error."""
    heading = {401: "A token is needed", 404: "Not found", 503: "Not ready yet"}.get(
        status, "That can't be answered"
    )
    # what passes by itself looks like no mistake
    words = [el("p", message, role="status" if status == 503 else "alert")]
    if status == 503:
        if how_far := _HOW_FAR.search(message):
            had, of = (number.replace(",", "") for number in how_far.groups())
            words.append(el("progress", value=had, max=of, aria_label="How far it is"))
        words.append(el("p", "This page reloads by itself.", class_="quiet"))
    # who may see nothing here gets no link to more of it
    home_link = el("p", el("a", "All runs and logs", href=path())) if status != 401 else None
    return page(heading, el("h1", heading), *words, home_link, status=status)


class _KeptFiles(StaticFiles):
    """Files that a browser may keep, as their address changes with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = f"public, max-age={_KEPT_S}, immutable"
        return response


@cache
def static_names() -> tuple[str, ...]:
    """Returns the names of all files, sorted."""
    return tuple(sorted(path.name for path in _folder().iterdir()))


@cache
def static_base() -> str:
    """Returns the address of the folder of all files, with a digest of them."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for name in static_names():
        digest.update(f"{name}\0".encode() + _folder().joinpath(name).read_bytes())
    return f"{OPEN_PREFIX}{digest.hexdigest()}"


def static_route() -> Mount:
    """Returns the route of the files."""
    return Mount(static_base(), _KeptFiles(directory=_folder()))


def _folder() -> Path:
    return Path(str(files("thence.server.web"))) / "static"
