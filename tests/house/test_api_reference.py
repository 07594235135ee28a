"""The page on the API says what the OpenAPI document says."""

from tests.house.tree import ROOT
from tools.api_reference import PAGE, reference

from thence.server.app import create_app


def document() -> dict:
    return create_app(ROOT).openapi()


def test_page_is_what_the_document_says():
    assert PAGE.read_text("utf-8") == reference(document()), "run tools/api_reference.py"


def test_page_names_each_route_parameter_and_shape():
    told, page = document(), PAGE.read_text("utf-8")
    for path, methods in told["paths"].items():
        assert f"`GET {path}`" in page
        for item in methods["get"].get("parameters", []):
            assert f"| `{item['name']}` | {item['in']} |" in page
    for name in told["components"]["schemas"]:
        assert f"\n## {name}\n" in page
