"""The frame of every page: head, landmarks, style, and the headers that forbid scripts."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from starlette.responses import Response

from thence.server.web.markup import Child, Html, el, joined, path

MEDIA_TYPE = "text/html; charset=utf-8"


def page(title: str, *body: Child, trail: tuple[Html, ...] = (), status: int = 200) -> Response:
    """Returns a page; `trail` is the path of links from the list of all logs to the page."""
    home = el("a", "thence", href="/", class_="brand")
    steps = [el("li", step) for step in (home, *trail)]
    head = joined(
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · thence" if trail or status != 200 else title),
        el("link", rel="icon", href="data:,"),
        el("style", Html(_style())),
    )
    content = joined(
        el("a", "Skip to the content", href="#content", class_="skip"),
        el("header", el("nav", el("ol", *steps), aria_label="Where you are")),
        el("main", *body, id="content", tabindex="-1"),
        el(
            "footer",
            el("a", "API document", href="/openapi.json"),
            el("a", "Health", href="/health"),
            el("a", "Metrics", href="/metrics"),
        ),
    )
    html = "<!doctype html>" + el("html", el("head", head), el("body", content), lang="en")
    headers = {"Content-Security-Policy": _policy(), "Content-Type": MEDIA_TYPE}
    return Response(html.encode(errors="backslashreplace"), status, headers)


def problem_page(status: int, message: str) -> Response:
    """Returns a page that reports an error."""
    heading = {401: "A token is needed", 404: "Not found", 503: "Not ready yet"}.get(
        status, "That can't be answered"
    )
    # what passes by itself looks like no mistake
    words = [el("p", message, role="status" if status == 503 else "alert")]
    if status == 503:
        words.append(el("p", "This page loads again by itself.", class_="quiet"))
    # who may see nothing here gets no link to more of it
    home_link = el("p", el("a", "All runs and logs", href=path())) if status != 401 else None
    return page(heading, el("h1", heading), *words, home_link, status=status)


@cache
def _style() -> str:
    return files("thence.server.web").joinpath("style.css").read_text("utf-8")


@cache
def _policy() -> str:
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
