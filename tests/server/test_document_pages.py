"""The documents as pages: each is there, and each of its links leads to what it names."""

import re
from collections.abc import Iterator

import pytest
from tests.server.serving import Serving, serving

from thence.documents import documents


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("root")) as running:
        yield running


def test_documents_are_listed_by_their_titles(server: Serving) -> None:
    listed = server.get("/docs").text
    for name, file in documents().items():
        title = file.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        assert f'<a href="/docs/{name}">' in listed
        assert title.split("`")[0].split("'")[0].split('"')[0] in listed
    assert '<a href="/docs">' in server.get("/").text


def test_links_of_documents_lead_to_pages_and_headings(server: Serving) -> None:
    pages = {name: server.get(f"/docs/{name}") for name in documents()}
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


def test_page_has_no_file_that_is_not_here(server: Serving) -> None:
    for name in documents():
        text = server.get(f"/docs/{name}").text
        assert not re.search(r'href="[^"/#][^":]*"|<picture|<img', text), name


@pytest.mark.parametrize("name", ["findngs", "..%2Fapp", "x" * 300])
def test_unknown_document_is_not_found(server: Serving, name: str) -> None:
    assert server.get(f"/docs/{name}").status_code == 404
