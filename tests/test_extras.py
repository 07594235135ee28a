"""A public name that needs an extra says so where its packages are missing."""

import subprocess
import sys

import pytest
from pyarrow import parquet
from tests.cli.installed import environment
from tests.log.faults import WAIT_S

PROGRAM = """
import sys
sys.modules[{package!r}] = None
import thence
try:
    {statement}
except ImportError as error:
    assert isinstance(error, thence.errors.ExtraMissing), repr(error)
    print(error.cause, "-", error.hint)
"""

ASKING = """from thence.sim.models import client, settings
    endpoint = settings.EndpointSettings(base_url="http://a", model="m")
    client.ModelClient("a", endpoint, client.Budget()).check()"""

WRITING = "from thence.sim.results.table import write_parquet; write_parquet(sys.argv[1], {}, [])"


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("statement", "package", "extra"),
    [
        ("import thence.otel", "opentelemetry.context", "otel"),
        ("import thence.otel", "opentelemetry.sdk", "otel"),
        ("import thence.server.app", "fastapi", "server"),
        ("from thence.sync import SyncEngine", "httpcore2", "sync"),
        (ASKING, "httpx2", "llm"),
        ("thence.open(sys.argv[1]).query().df()", "pandas", "pandas"),
        (WRITING, "pyarrow", "tables"),
        ("from thence.sim.results.plot import plot; plot(1, 2, 3)", "matplotlib", "plot"),
        ("from thence.sim.again.on_ray import play_on_ray; play_on_ray(*3 * [None])", "ray", "ray"),
    ],
)
def test_without_its_extra_a_name_says_what_to_install(tmp_path, statement, package, extra):
    program = PROGRAM.format(statement=statement, package=package)
    argv = [sys.executable, "-c", program, str(tmp_path / "log")]
    done = subprocess.run(argv, env=environment(), timeout=WAIT_S, capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    cause, _, hint = done.stdout.strip().partition(" - ")
    assert package in cause
    assert f"thence[{extra}]" in hint


# pyarrow takes None among the modules for pandas itself
WITHOUT_PANDAS = """
import sys
class Missing:
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError("no pandas", name=name)
sys.meta_path.insert(0, Missing)
from thence.cli.main import main
sys.exit(main())
"""


def test_parquet_is_written_without_pandas(tmp_path):
    def run(*words: str) -> None:
        argv = [sys.executable, "-c", WITHOUT_PANDAS, *words]
        options = {"env": environment(), "cwd": tmp_path, "timeout": WAIT_S}
        subprocess.run(argv, **options, capture_output=True, check=True)

    run("sim", "run", "spatial_trade_network", "--run-id", "trade", "--turns", "2")
    run("export", "--log", "output/trade", "--parquet", "--output", "events.parquet")
    run("sim", "table", "trade", "--rows", "turns", "--output", "turns.parquet")
    events = (tmp_path / "output" / "trade" / "events.jsonl").read_text().splitlines()
    assert parquet.read_metadata(tmp_path / "events.parquet").num_rows == len(events)
    # the turns from 0, which is before the first
    assert parquet.read_metadata(tmp_path / "turns.parquet").num_rows == 3
