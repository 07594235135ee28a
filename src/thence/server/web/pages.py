"""The routes of the pages."""

import re
from functools import cache, partial
from itertools import islice, pairwise
from pathlib import Path
from threading import Event as Signal

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from thence.core.markup import Html, el, link, path
from thence.documents import documents, read_document
from thence.git.repository import asked
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.routes.logs import compare
from thence.server.routes.state import app_state
from thence.server.web.diff import diff_page
from thence.server.web.event import event_page
from thence.server.web.files import file_page, files_link, files_page
from thence.server.web.home import home
from thence.server.web.layout import page, part_of
from thence.server.web.run import read_question, run_page
from thence.server.web.spending import spending_page
from thence.server.web.sweep import find_sweep, listed_sweeps, sweep_page
from thence.server.web.world_map import map_section

OTHERS_MAX = 500  # of the logs for a comparison
FILES_S = 10.0  # how long a page waits for git and the log

router = APIRouter(include_in_schema=False)


@router.get("/")
async def all_logs(request: Request) -> Response:
    """Shows the runs and logs under the root."""
    state = app_state(request)

    def work(logs: list[FoundLog | None]) -> Response:
        return home(state, logs, listed_sweeps(state.root), "all" in request.query_params)

    return await state.list_logs(state.locate, work)


@router.get("/runs")
async def chosen(request: Request) -> Response:
    """Redirects to the comparison of two runs: those that a form of a page names."""
    match request.query_params.getlist("run"):
        case [a, b]:
            return RedirectResponse(path("runs", a, "diff", b), 303)
        case []:
            return await missing_page("")
    raise HTTPException(422, "tick two runs or logs, to compare them")


@router.get("/runs/{id}")
async def run(request: Request, id: str) -> Response:
    """Shows a run or another log, and a page of its events."""
    state, query = app_state(request), request.query_params
    question = read_question(query)

    def work(log: OpenLog) -> Response:
        summary, run = state.summaries.of(log), state.summaries.record(state.root, log)
        others = [*islice(state.root.others(id), OTHERS_MAX)]
        beside = map_section(state.root, log, summary, question)
        if state.has_files(log):
            beside = el("p", files_link(log))
        return run_page(log, run, summary, question, others, query.get("board"), beside)

    sweep = await state.workers.run(lambda: find_sweep(state.root, id))
    if sweep is not None:
        logs = [run.log for run in sweep.runs if run.log is not None]
        return await state.list_logs(
            lambda: [*logs], lambda _: sweep_page(sweep, state.summaries, query.get("var", ""))
        )
    return part_of(await state.ask(id, work, is_patient=False), query.get("part"))


@router.get("/runs/{id}/events/{event_id:path}")
async def event(request: Request, id: str, event_id: str) -> Response:
    """Shows one event."""
    page = await app_state(request).ask(id, lambda log: event_page(log, event_id), is_patient=False)
    return part_of(page, request.query_params.get("part"))


@router.get("/runs/{id}/spending")
async def spent(request: Request, id: str) -> Response:
    """Shows where time, tokens, cost and failures of a log went."""
    state = app_state(request)
    return await state.ask(
        id, lambda log: spending_page(log, state.summaries.of(log)), is_patient=False
    )


@router.get("/runs/{id}/files")
@router.get("/runs/{id}/files/{name:path}")
async def files(request: Request, id: str, find: str = "") -> Response:
    """Lists the files of the repository, or shows the lines of one with their owners."""
    state, name = app_state(request), request.path_params.get("name")
    repository = state.repository
    is_offered = await state.ask(id, state.has_files, is_patient=False)
    if repository is None or not is_offered:
        raise HTTPException(404, "there is no such page")

    def read(stop: Signal) -> Response:
        log, repo = state.logs.find(id), asked(repository)
        if name is not None:
            return file_page(log, repo, name, stop)
        with state.logs.using(log) as opened:
            return files_page(opened, repo, find.strip())

    try:
        return await state.workers.run_for(read, FILES_S, "files")
    except TimeoutError:
        text = f"git and the log took over {FILES_S:g} s; in a terminal: thence blame FILE"
        raise HTTPException(504, text) from None


@router.get("/runs/{id}/diff/{other}")
async def diff(request: Request, id: str, other: str) -> Response:
    """Shows the comparison of two runs."""
    variable = request.query_params.get("var", "")
    page = await compare(request, (id, other), False, partial(diff_page, variable=variable))
    return part_of(page, request.query_params.get("part"))


@router.get("/runs{rest:path}")
async def missing_page(rest: str) -> Response:
    """Raises 404 for any other page."""
    raise HTTPException(404, "there is no such page")


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
