"""The guide of agent frameworks: its code compiles, and its versions are those that are run.

`make frameworks` runs its blocks with the frameworks.
"""

import re
from pathlib import Path

import pytest
from tests.docs.test_examples import FRAMEWORKS, examples
from tests.trace.frameworks.recording import pinned

ROOT = Path(__file__).parents[2]
TEXT = FRAMEWORKS.read_text("utf-8")
PACKAGES = {
    "pydantic-ai": "pydantic-ai-slim",
    "openai-agents": "openai-agents",
    "LangGraph": "langgraph",
    "AutoGen": "autogen-agentchat",
    "OpenAI client": "openai",
    "Celery": "celery",
}
INSTRUMENTATION = re.compile(r"`((?:openinference|opentelemetry)-instrumentation-[\w-]+)` \((\S+) ")


def test_rows_have_the_versions_that_are_run():
    rows = dict(re.findall(r"^\| ([\w-]+) (\d+\.\d+) \| `", TEXT, re.MULTILINE))
    assert len(rows) == 11
    del rows["traceloop-sdk"]  # in no lock: one of its requirements has no wheel
    for package, version in rows.items():
        assert pinned(package.lower()).startswith(f"{version}."), package


@pytest.mark.parametrize("name", PACKAGES)
def test_heading_has_the_version_that_is_run(name):
    heading = re.search(rf"^## {name} ([\d.]+)$", TEXT, re.MULTILINE)
    assert heading, name
    assert pinned(PACKAGES[name]).startswith(f"{heading[1]}.")


def test_instrumentations_have_the_versions_that_are_run():
    named = INSTRUMENTATION.findall(TEXT)
    assert len(named) == 5
    for package, version in named:
        assert f"{pinned(package)}.".startswith(f"{version}."), package


def test_blocks_compile_and_name_a_part_of_what_is_run():
    programs = ROOT / "tests" / "trace" / "frameworks" / "programs"
    text = "".join(path.read_text("utf-8") for path in programs.glob("with_*.py"))
    for block in examples(FRAMEWORKS):
        compile(block, FRAMEWORKS.name, "exec")
    assert len(examples(FRAMEWORKS)) == len(PACKAGES) + 3
    for name in (*PACKAGES, "Threads"):
        assert re.search(rf'recorded\("{name.split()[0]}', text), name
