"""The documents that came with thence, as pages."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.core.markup import Html, el, link, path
from thence.documents import documents, read_document
from thence.server.web.layout import page

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def all_documents() -> Response:
    """Lists the documents."""
    folders: dict[str, list[Html]] = {}
    for name, file in documents().items():
        item = el("li", link(read_document(file)[0], path("docs", name)))
        folders.setdefault(file.parent.name, []).append(item)
    lists = [part for name, items in folders.items() for part in (el("h2", name), el("ul", *items))]
    return page("Documents", el("h1", "Documents"), *lists, trail=(link("docs", path("docs")),))


@router.get("/docs/{name}")
def document(name: str) -> Response:
    """Shows a document."""
    if (file := documents().get(name)) is None:
        raise HTTPException(404, f"there is no document {name!r}")
    title, content = _read(file)
    trail = (link("docs", path("docs")), link(name, path("docs", name)))
    return page(title, content, trail=trail)


@cache
def _read(file: Path) -> tuple[str, Html]:
    """Returns the title of a document, and its HTML with links to the others."""
    from markdown_it import MarkdownIt  # 20 ms, for these pages alone

    reader, pages = MarkdownIt("commonmark", {"html": False}).enable("table"), documents()
    title, text = read_document(file)
    tokens = reader.parse(text)
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            bare = re.sub(r"[^\w\- ]", "", inside.content.replace("`", "").lower())
            token.attrSet("id", bare.replace(" ", "-"))
    for token in (child for block in tokens for child in block.children or ()):
        target, _, anchor = str(token.attrs.get("href", "")).partition("#")
        if token.type == "link_open" and target and ":" not in target:
            name = Path(target).stem
            if name in pages and target.endswith(".md"):
                token.attrs["href"] = path("docs", name) + (f"#{anchor}" if anchor else "")
            else:
                del token.attrs["href"]  # to what is not here
    return title, Html(reader.renderer.render(tokens, reader.options, {}))
