"""The files for operators start commands that there are, with options and settings of these."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import click
import pytest
from packaging.requirements import Requirement
from psycopg.conninfo import conninfo_to_dict
from ruamel.yaml import YAML
from tests.house.tree import ROOT
from tools.lock_table import read_pins

from thence.cli.frame import root
from thence.settings import from_environment

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
COMPOSE = {path.name: YAML(typ="safe").load(path) for path in DEPLOY.glob("compose*.yaml")}
# what the image of PostgreSQL reads, beside the variables of its programs
OF_POSTGRES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_HOST_AUTH_METHOD"}


def commands():
    """Yields the arguments of each call of thence in the files."""
    for unit in (path.read_text("utf-8") for path in UNITS):
        for line in re.findall(r"^ExecStart=\S+/thence (.+)$", unit, re.MULTILINE):
            yield shlex.split(line)
        for words in re.findall(r"`thence ([^`]+)`", unit):
            yield shlex.split(words)
    (started,) = re.findall(
        r"^CMD (\[.+\])$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    yield json.loads(started)
    for name in COMPOSE:
        text = (DEPLOY / name).read_text("utf-8")
        calls = re.findall(r"^#   docker compose (.*)run --rm server (.+)$", text, re.MULTILINE)
        for files, words in calls:
            assert files == "" or files.split()[1::2] == ["compose.yaml", name]
            yield shlex.split(words)
        yield from (
            service["command"]
            for service in COMPOSE[name]["services"].values()
            if "build" in service and "command" in service
        )


def parse(arguments):
    """Parse arguments as the command line does, without doing anything."""
    command, context = root, click.Context(root)
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(context, name)
        assert command is not None, name
    command.make_context(command.name, list(arguments))


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_command_of_an_operators_file_can_be_typed(arguments):
    parse(arguments)


def test_all_calls_are_found_and_a_wrong_one_is_refused():
    assert len(list(commands())) == 10
    with pytest.raises(click.NoSuchOption):
        parse(["server", "run", "--port-number", "1"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_knows_all_that_a_unit_says(unit, tmp_path):
    text = unit.read_text("utf-8")
    paths = re.findall(r"/(?:var/lib|run)/([a-z-]+)", text)
    assert paths
    assert set(paths) == set(re.findall(r"^(?:State|Runtime)Directory=(\S+)$", text, re.MULTILINE))
    if shutil.which("systemd-analyze"):
        checked = tmp_path / unit.name
        checked.write_text(text.replace("/opt/thence/bin/thence", sys.executable), "utf-8")
        argv = ["systemd-analyze", "verify", checked]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_pages_are_served_where_the_proxy_looks_for_them():
    (socket,) = re.findall(r"--unix (\S+)", (DEPLOY / "thence-pages.service").read_text())
    assert f"reverse_proxy unix/{socket}\n" in (DEPLOY / "Caddyfile").read_text()


def services():
    """Yields the names and values of the services of each way to compose them."""
    for part in COMPOSE.values():
        yield from part["services"].items()


def test_variable_of_a_service_is_one_that_its_program_reads():
    named = [
        (name, variable)
        for name, service in services()
        for variable in service.get("environment", {})
    ]
    assert ("server", "THENCE_DATABASE") in named
    unset = from_environment({})
    for name, variable in named:
        is_read = (
            variable in OF_POSTGRES
            if name == "postgres"
            else (from_environment({variable: "x"}) != unset)
        )
        assert is_read, f"{name} reads no {variable}"
    assert from_environment({"THENCE_DATA": "x"}) == unset


def test_address_of_the_database_leads_to_the_service_that_has_it():
    addresses = {
        name: part["services"]["server"].get("environment", {}).get("THENCE_DATABASE")
        for name, part in COMPOSE.items()
    }
    assert any(addresses.values())
    for name, part in COMPOSE.items():
        address = addresses[name]
        if address is None:
            continue
        server, postgres = part["services"]["server"], part["services"]["postgres"]
        place = conninfo_to_dict(address)
        assert place["user"] == postgres["environment"]["POSTGRES_USER"]
        assert place["dbname"] == postgres["environment"]["POSTGRES_DB"]
        socket = f"socket:{place['host']}"
        assert socket in server["volumes"]
        assert socket in postgres["volumes"]
        assert server["depends_on"]["postgres"]["condition"] == "service_healthy"
        assert "healthcheck" in postgres


def test_volumes_and_configs_of_services_are_declared():
    declared = {
        kind: {name for part in COMPOSE.values() for name in part.get(kind, {})}
        for kind in ("volumes", "configs")
    }
    for _, service in services():
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= declared["volumes"]
        assert {config["source"] for config in service.get("configs", [])} <= declared["configs"]
    files = [
        config["file"] for part in COMPOSE.values() for config in part.get("configs", {}).values()
    ]
    assert files
    assert all((DEPLOY / file).is_file() for file in files)


def test_proxy_asks_the_server_at_the_port_that_it_shows_and_nobody_else_does():
    server = COMPOSE["compose.yaml"]["services"]["server"]
    (port,) = server["expose"]
    assert "ports" not in server
    assert f"reverse_proxy server:{port}\n" in (DEPLOY / "Caddyfile").read_text()


def test_image_has_what_the_extra_for_postgresql_has(tmp_path):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in extras["optional-dependencies"]["postgres"]]
    names = {line.name for line in wanted}
    names |= {f"{line.name}-{extra}" for line in wanted for extra in line.extras}
    text = (DEPLOY / "Dockerfile").read_text()
    (program,) = re.findall(r"awk '(.+)' /tmp/requirements-dev.lock", text)
    argv = ["awk", program, ROOT / "requirements-dev.lock"]
    chosen = tmp_path / "requirements.lock"
    chosen.write_text(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert {pin.name for pin in read_pins(chosen)} == names
