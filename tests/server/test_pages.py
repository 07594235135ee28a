"""The pages as a browser gets them: parsed, followed by their links, hostile events in them."""

import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from tests.server.conftest import Shop
from tests.server.runs import foreign, make_run, stored
from tests.server.serving import Serving, serving

import thence
from thence.core.markup import visible
from thence.core.new_event import HostEvent
from thence.core.redaction import redacted
from thence.documents import documents
from thence.sim import EventWriter, VerbosityLevel, create_action_event

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_VOID = {"meta", "link", "input", "br", "hr"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;"
TURNED = "adm\u202eni\u2066 \u0007 \u200f"


class Parsed(HTMLParser):
    """A page: its elements with their attributes, its text; it must be well formed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._html = html
        assert html.startswith("<!doctype html>")
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert self._open[-1:] != ["script"], "no script stands in a page"
        self.text += data

    def paragraphs(self, kind: str) -> list[str]:
        """The text of each paragraph of a class."""
        html = re.findall(rf'<p class="{kind}[^"]*">(.*?)</p>', self._html, re.DOTALL)
        return [unescape(re.sub(r"<[^>]*>", "", one)) for one in html]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        return [found["href"] for found in self.all("a")]


def page(server: Serving, address: str, status: int = 200) -> Parsed:
    """A page, held to what every page promises."""
    answer = server.get(address)
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    found = Parsed(answer.text)
    names = {tag for tag, _ in found.elements}
    assert not names & {"style", "img", "iframe", "object", "base"}
    (script,) = found.all("script")
    assert script["src"].startswith("/static/")
    assert script["type"] == "module"
    assert {"main", "header", "nav", "h1", "title", "footer"} <= names
    assert found.all("html") == [{"lang": "en"}]
    assert found.links[0] == "#content"
    assert [item["id"] for item in found.all("main")] == ["content"]
    for _, attributes in found.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
    labels = {label["for"] for label in found.all("label")}
    seen = [field for field in found.all("input") if field.get("type") != "hidden"]
    for field in seen + found.all("select"):
        assert field.get("id") in labels or field.get("aria-label")
    assert all(head.get("scope") for head in found.all("th"))
    return found


def walk(server: Serving, pages_max: int = 120) -> Iterator[str]:
    """All that can be reached from the first page by its links."""
    seen, next_ones = {"/"}, ["/"]
    for _ in range(pages_max):
        if not next_ones:
            return
        address = next_ones.pop(0)
        yield address
        if not address.startswith("/runs") and address != "/":
            assert server.get(address).status_code == 200, address
            continue
        for link in page(server, address).links:
            there = urljoin(address, link).partition("#")[0]
            if there not in seen:
                seen.add(there)
                next_ones.append(there)


def test_every_link_leads_somewhere(shop: Shop) -> None:
    reached = list(walk(shop.server))
    assert {"/", "/runs/first", "/runs/orders", "/openapi.json"} < set(reached)
    assert len([address for address in reached if "/events/" in address]) > 20


def test_first_page_lists_runs_and_logs(shop: Shop) -> None:
    found = page(shop.server, "/")
    for name in ("first", "second", "hurt", "orders"):
        assert f"/runs/{name}" in found.links
    damaged = shop.server.json("/simulations/hurt")["damaged_lines"]
    assert damaged > 1
    assert f"{damaged} bad lines" in found.text
    assert "completed" in found.text
    assert re.search(r"3 runs, 1 log, [\d,]+ events; the latest first", found.text)
    for told in (found, page(shop.server, "/runs/first")):
        assert "Last event (UTC)" in told.text


def test_pages_of_a_run_are_all_of_it_in_total_order(tmp_path: Path, server: Serving) -> None:
    make_run(tmp_path, "long", count=230)
    wanted = [event.event_id for event in stored(tmp_path / "long")]
    events, address = list[str](), "/runs/long"
    while address:
        found = page(server, address)
        events += shown(found, "long")
        further = [each["href"] for each in found.all("a") if each.get("rel") == "next"]
        address = further[0] if further else ""
    assert events == wanted
    newest = page(server, "/runs/long?order=newest&type=&where=")
    assert shown(newest, "long") == events[:-101:-1]


def test_page_of_an_altered_run_names_what_was_altered(tmp_path: Path, server: Serving) -> None:
    for name, altered in (("plain", None), ("altered", {"2.decide.ada.0": None, "<b>": 1})):
        folder = make_run(tmp_path, name, count=3)
        if altered:
            (folder / "config.json").write_text(
                json.dumps({"altered": altered, "parent": {"run_id": "first", "turn": 1}})
            )
    assert "Altered" not in page(server, "/runs/plain").text
    text = page(server, "/runs/altered").text
    assert "first at turn 1" in text
    assert "Altered" in text
    assert "2.decide.ada.0, <b>" in text
    listed = page(server, "/").text
    assert listed.count("branch of") == 1
    assert "branch of first at turn 1; altered: 2.decide.ada.0, <b>" in listed


def shown(found: Parsed, name: str) -> list[str]:
    """The events that a page of a run links to."""
    begin = f"/runs/{name}/events/"
    return [link.removeprefix(begin) for link in found.links if link.startswith(begin)]


def test_form_asks_what_the_query_asks(shop: Shop) -> None:
    found = page(shop.server, "/runs/first?type=ACTION&actor=ada&turn=0..8&since=")
    asked = {"type": "ACTION", "actor": "ada", "turn": "0..8"}
    own = {"run": "first"}  # of the form that compares
    wanted = shop.server.json("/logs/first/events", **asked)["events"]
    assert shown(found, "first") == [event["event_id"] for event in wanted]
    assert wanted
    assert {
        field["name"]: field["value"] for field in found.all("input") if field["value"]
    } == asked | own
    assert "No event matches." in page(shop.server, "/runs/first?type=none").text


def test_decision_tells_what_its_model_was_told_and_answered(tmp_path, server) -> None:
    with thence.open(tmp_path / "asked") as log:
        messages = [{"role": "user", "content": HOSTILE}, {"role": "odd"}, 3]
        calls = [{"messages": messages, "answer": "give 5"}, {"messages": 3, "answer": None}, {}]
        causes = [log.append("asked", {"error_type": "llm_call", **call}) for call in calls]
        decided = log.append("decided", caused_by=causes)
    found = page(server, f"/runs/asked/events/{decided.event_id}")
    text = found.text.replace("\n", "")
    assert f"Model, user{HOSTILE}Model, odd" in text
    assert "Model, answergive 5Named causes" in text


def test_event_in_a_tool_tells_the_model_call_that_asked_for_it(tmp_path, server):
    model = {"span_id": "1", "attributes": {"gen_ai.operation.name": "chat", "llm.model_name": "m"}}
    tool = {"span_id": "2", "attributes": {"tool.name": "pay", "input.value": '{"order": 881}'}}
    with thence.open(tmp_path / "agent") as log:
        (chat,) = log.append_many([HostEvent("chat.begun", model, begins=True)])
        (asked,) = log.append_many([HostEvent("chat.ended", model, ends=chat.event_id)])
        (pay,) = log.append_many([HostEvent("pay.begun", tool, begins=True)])
        sent = log.append("sent", caused_by=pay)
        alone = log.append("alone")
        late = {"ends": pay.event_id, "inferred_causes": (asked.event_id,)}
        log.append_many([HostEvent("pay.ended", tool, **late)])
    found = page(server, f"/runs/agent/events/{sent.event_id}")
    assert "asked" not in page(server, f"/runs/agent/events/{alone.event_id}").text
    assert "the only call that asked for pay(order 881): m was asked" in found.text
    assert f"/runs/agent/events/{asked.event_id}" in found.links


def test_event_tells_what_it_holds_why_it_happened_and_what_followed(shop: Shop) -> None:
    placed, paid, failed, apart = shop.orders
    found = page(shop.server, f"/runs/orders/events/{paid}")
    assert "order.paid" in found.text
    assert '"amount": 12' in found.text
    assert f"/runs/orders/events/{placed}" in found.links
    assert f"/runs/orders/events/{failed}" in found.links
    assert stored(shop.root / "orders")[1].line.decode() in found.text
    alone = page(shop.server, f"/runs/orders/events/{apart}")
    assert "It is a root" in alone.text
    assert "Nothing names it as a cause." in alone.text


@pytest.mark.promise("Q5")
def test_errors_are_pages(shop: Shop) -> None:
    for rest in ("/none", "/first/events/none", "/", "/first/other", ""):
        found = page(shop.server, f"/runs{rest}", 404)
        assert "Not found" in found.text
        assert "openapi" not in found.text, "a person has no use for that"
        assert "/" in found.links
    wrongs = ("turn=abc", "where=x+or+y", "colour=red", "order=odd", "since=now", "cursor=x")
    for wrong in wrongs:
        found = page(shop.server, f"/runs/first?{wrong}", 422)
        assert [each for _, each in found.elements if each.get("role") == "alert"]
    for odd in ("..", "%2e%2e", "a%00", "%ff", "x" * 300):
        assert shop.server.get(f"/runs/{odd}").status_code in (200, 404)


def test_what_an_event_holds_is_shown_as_text_and_nothing_else(tmp_path, server) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lines = [
        foreign(1, agent_id=HOSTILE, event_type=HOSTILE, details={HOSTILE: [HOSTILE, None, 1.5]}),
        foreign(2, agent_id=TURNED, description=TURNED),
        foreign(3, event_type="T" * 500_000, details={"long": "z" * 500_000}),
        foreign(4, event_id=f"a/b?#&{HOSTILE}", caused_by=["other-0001", f"gone {HOSTILE}"]),
        foreign(5, event_id=TURNED, timestamp=HOSTILE, caused_by=[f"a/b?#&{HOSTILE}"]),
    ]
    (folder / "events.jsonl").write_bytes(b"".join(lines) + b"\xff<script>\n")
    (folder / "config.json").write_text(json.dumps({"scenario": {"simulation": {"name": HOSTILE}}}))
    assert HOSTILE in page(server, "/").text
    run = page(server, "/runs/run")
    assert HOSTILE in run.text
    events = [link for link in run.links if link.startswith("/runs/run/events/")]
    assert len(events) == len(lines)
    for link in events:
        answer = server.get(link)
        assert len(answer.content) < 100_000
        assert not set("\u202e\u2066\u0007\u200f") & set(page(server, link).text)
    assert visible(TURNED) in page(server, events[1]).text
    assert page(server, f"/runs/run?actor={HOSTILE}".replace("&", "%26")).all("input")
    assert [link for link in list(walk(server)) if "a%2Fb" in link]


def test_page_without_a_token_says_what_to_do_and_has_script_and_style_alone(tmp_path) -> None:
    make_run(tmp_path, "secret-run", count=2)
    with serving(tmp_path, "--token", "s3cret") as server:
        for address in ("/", "/runs", "/runs/secret-run"):
            found = page(server, address, 401)
            assert "secret-run" not in found.text
            assert "All runs and logs" not in found.text, "a link to what needs the token too"
            assert "?token=" in found.text
        linked = re.findall(r'(?:href|src)="(/static/[^"]+)"', server.get("/").text)
        assert {"look.js", "style.css", "tiles.js"} <= {one.rpartition("/")[2] for one in linked}
        for address in linked:
            answer = server.get(address)
            assert answer.status_code == 200, address
            assert "immutable" in answer.headers["cache-control"]
        folder = linked[0].rpartition("/")[0]
        for missing in ("../layout.py", "%2e%2e/layout.py", "layout.py", ""):
            assert server.get(f"{folder}/{missing}").status_code in (401, 404)
        assert server.get("/static/0123456789abcdef/style.css").status_code == 404
        assert server.get("/", params={"token": "s3cret"}).status_code == 303
        assert "/runs/secret-run" in page(server, "/").links


def test_empty_root_and_empty_log_say_so(tmp_path: Path, server: Serving) -> None:
    assert "There are no runs or logs here yet." in page(server, "/").text
    assert "thence sim run" in page(server, "/").text
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.jsonl").write_bytes(b"")
    assert "There are no events yet." in page(server, "/runs/run").text


def test_comparison_has_both_sides_in_each_row_names_every_root_and_marks_the_parting(
    tmp_path: Path,
    server: Serving,
) -> None:
    for name in ("one", "two"):
        with EventWriter(tmp_path / name, "run", verbosity=VerbosityLevel.DETAIL) as writer:
            for turn in range(3):
                for agent in ("ada", "ben"):
                    number = HOSTILE if (name, turn, agent) in _CHANGED else turn
                    step = f"{turn}.act.{agent}.0"
                    said = {"number": number}
                    writer.emit(create_action_event("run", turn, agent, "move", said, step=step))
            step = f"9.act.{name}.0"
            writer.emit(create_action_event("run", 9, name, "stay", {}, step=step))
    found = page(server, "/runs/one/diff/two")
    html = server.get("/runs/one/diff/two").text
    assert found.paragraphs("verdict") == ["part in turn 1 at ada's action; 4 roots"]
    assert HOSTILE in found.text
    tables = html.split("<table")[1:]
    rows = [
        [*re.findall(r"<td[^>]*>(.*?)</td>", one, re.DOTALL)] for one in tables[-1].split("<tr")[2:]
    ]
    assert [row[0].partition(" <")[0] for row in rows] == [
        *("changed", "changed", "only in B", "only in A")
    ]
    assert "they diverge here" in rows[0][0]
    assert all("root" in row[0] for row in rows[1:])
    assert ["/runs/one/" in row[1] for row in rows] == [True, True, False, True]
    assert ["/runs/two/" in row[2] for row in rows] == [True, True, True, False]
    assert "4 events that differ, in total order; 4 roots" in found.text
    choice = page(server, "/runs/one")
    assert choice.text.index("Compare with another") < choice.text.index("Filter and order")


_CHANGED = {("two", 1, "ada"), ("two", 2, "ben")}


@pytest.mark.promise("A1")
def test_pages_tell_a_failure_with_its_reason_and_no_type_twice(tmp_path, server) -> None:
    error = {"error_type": "CardDeclined", "error_message": "no <money>", "duration_s": 0.093}
    with thence.open(tmp_path / "shop") as log:
        log.append("noted")
        failed = log.append("fulfil.failed", error, subject="order/881", actor="till")
    told = "order/881 fulfil failed after 93 ms: CardDeclined: no <money>"
    shown = page(server, "/runs/shop")
    assert "order/881 after 93 ms: CardDeclined: no <money>" in shown.text
    assert "fulfil failed" not in shown.text
    assert shown.text.count("noted") == 2  # one of them counts the types
    address = f"/runs/shop/events/{failed.event_id}"
    assert address in shown.links
    assert f"till: {told}" in page(server, address).text


@pytest.mark.promise("S10a")
def test_page_of_a_line_that_came_without_its_body_says_that_nobody_redacted_it(tmp_path, server):
    with thence.open(tmp_path / "source") as source, thence.open(tmp_path / "log") as log:
        event = source.append("told", {"text": "swordfish"})
        log.relay([redacted(event.line)])  # as a changed branch of git brings it
    text = page(server, f"/runs/log/events/{event.event_id}").text
    assert "no redaction of it counts here" in text
    assert "redacted for good" not in text


def test_documents_are_listed_by_their_titles(shop: Shop) -> None:
    listed = shop.server.get("/docs").text
    for name, file in documents().items():
        title = file.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        assert f'<a href="/docs/{name}">' in listed
        assert title.split("`")[0].split("'")[0].split('"')[0] in listed
    assert '<a href="/docs">' in shop.server.get("/").text


def test_links_of_documents_lead_to_pages_and_headings_and_to_no_file(shop: Shop) -> None:
    pages = {name: shop.server.get(f"/docs/{name}") for name in documents()}
    assert {page.status_code for page in pages.values()} == {200}
    ids = {name: set(re.findall(r' id="([^"]+)"', page.text)) for name, page in pages.items()}
    links = [
        (name, link)
        for name, page in pages.items()
        for link in re.findall(r'<a href="((?:/docs/|#)[^"]*)"', page.text)
    ]
    assert len(links) > 200
    wrong = []
    for name, link in links:
        target, _, anchor = link.partition("#")
        of = target.removeprefix("/docs/") or name
        if of not in pages or (anchor and anchor not in ids[of]):
            wrong.append((name, link))
    assert wrong == []
    absent = re.compile(r'href="[^"/#][^":]*"|<picture|<img')
    assert [name for name, page in pages.items() if absent.search(page.text)] == []


@pytest.mark.parametrize("name", ["findngs", "..%2Fapp", "x" * 300])
def test_unknown_document_is_not_found(shop: Shop, name: str) -> None:
    assert shop.server.get(f"/docs/{name}").status_code == 404
