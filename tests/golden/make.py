"""Makes golden files with the wheel of a release: `python -m tests.golden.make WHEEL`.

Each frozen format has a folder in `tests/golden/0.2.0`, and `answers.json` has what is asked of it.
A later version keeps these files, reads them, and adds a folder of its own where a format changes.
Nothing here imports thence: the wheel is installed into an environment of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.sync.proxy import UP, Proxy

FOLDER = Path(__file__).parent / "0.2.0"
SECRET = "swordfish"
ORDER = f"""
import thence
letter = "Dear Ada, your tea is on its way. é 漢字 😀 \\n" * 60
with thence.open("log", max_file_size=1_500) as log:
    placed = log.append("order.placed", {{"amount": 3}}, subject="order/881", actor="shop")
    with thence.because(placed), thence.step("charge", log=log, subject="order/881", actor="till"):
        log.append("mail.sent", {{"text": letter, "to": "{SECRET}"}}, stream="mail")
    log.append("mail.sent", {{"text": letter, "copy": True}}, stream="mail")
    log.append("numbers", {{"": [0.5, None, 2**64 - 1, -0.0, 5e-324, []], "quote": "\\"\\u0000"}})
    log.append("order.failed", subject="order/881", actor="post", caused_by=placed)
"""
PLAN = """\
## Work Package WP01: The kettle

- [ ] T001 Fill it

## Work Package WP02: The cup

### Dependencies
- Depends on WP01
"""
PASSWORD = "correct horse"
OF_A_LOG = ("marks", "open", "sync", "lock", "index.db", "identity.json")
DERIVED = (*OF_A_LOG, ".lock", "workers.log")
OF_A_RUN = ("name", "status", "turns", "events", "by_type", "by_actor", "variables")
OF_AN_EVENT = ("event_type", "subject", "actor", "stream", "seq", "lamport_clock", "payload")


class Commands:
    """An installed thence, whose commands run in one folder, with a home inside of it."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        mine = ("THENCE_", "XDG_", "GIT_", "PYTHON")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(mine)}
        who = {
            f"GIT_{role}_{part}": "ada"
            for role in ("AUTHOR", "COMMITTER")
            for part in ("NAME", "EMAIL")
        }
        self.env = kept | who | {"HOME": str(folder / "home"), "GIT_CONFIG_GLOBAL": os.devnull}
        (folder / "home").mkdir(parents=True, exist_ok=True)

    def __call__(self, words: str, *more: object, cwd: str = ".", stdin: str = "") -> str:
        """Runs a command, and returns what it wrote to stdout; raises CalledProcessError."""
        argv = [self.python.parent / "thence", *words.split(), *map(str, more)]
        return self.run(argv, cwd, stdin)

    def run(self, argv: list[Any], cwd: str = ".", stdin: str = "") -> str:
        """Runs another program likewise."""
        ended = subprocess.run(
            argv, cwd=self.folder / cwd, env=self.env, input=stdin, text=True, stdout=-1, check=True
        )
        return ended.stdout


def make(python: Path, folder: Path) -> None:
    """Makes all files in an empty folder, with the thence of an environment that has `server`."""
    with tempfile.TemporaryDirectory() as name:
        thence = Commands(python, Path(name))
        thence.run([python, "-c", ORDER])
        letter = json.loads(thence("log --log log --type mail.sent --json").splitlines()[0])
        thence("redact --log log --yes --quiet --reason", "an address", letter["event_id"])
        thence("sim run fishery --turns 2 --seed 7 --run-id run --output-root . --quiet")
        settings = ["--set", "engine.growth=0.2,0.35", "--set", "simulation.max_turns=1"]
        thence("sim sweep fishery --seeds 1 --output sweep --quiet", *settings)
        play_board(thence)
        for made in ("log", "run", "sweep"):
            hidden = shutil.ignore_patterns(*DERIVED)
            shutil.copytree(thence.folder / made, folder / made, ignore=hidden)
        shutil.copytree(
            thence.folder / "shop/.kittify/events",
            folder / "project/.kittify/events",
            ignore=shutil.ignore_patterns(*DERIVED),
        )
        shutil.copy(thence.folder / "shop/.kittify/config.yaml", folder / "project/.kittify")
        push(thence, folder / "wire")
    answered = json.dumps(answers(python, folder), indent=1, ensure_ascii=False)
    (folder / "answers.json").write_text(f"{answered}\n", "utf-8")


def play_board(thence: Commands) -> None:
    """Brings a package to done and another one to review, in the project `shop`."""
    new_project(thence)
    thence("work setup-spec Tea --quiet", cwd="shop")
    (thence.folder / "shop/kitty-specs/001-tea/tasks.md").write_text(PLAN)
    thence("work finalize-tasks --quiet", cwd="shop")
    for package in ("WP01", "WP02"):
        thence(f"work implement {package} --actor ada --quiet", cwd="shop")
        tree = f"shop/.worktrees/001-tea-{package}"
        (thence.folder / tree / package).write_text("tea\n")
        thence.run(["git", "add", package], tree)
        thence.run(["git", "commit", "--quiet", "--message", package], tree)
        if package == "WP01":
            thence("work mark-status T001 --actor ada --quiet", cwd=tree)
        thence(f"work move-task {package} --to for_review --actor ada --quiet", cwd=tree)
        if package == "WP01":
            thence("work merge WP01 --quiet", cwd="shop")
            thence("work accept --quiet", cwd="shop")


def new_project(thence: Commands) -> None:
    """Makes the git repository `shop` with a first commit."""
    thence.run(["git", "init", "--quiet", "--initial-branch", "main", "shop"])
    thence.run(["git", "commit", "--quiet", "--allow-empty", "--message", "first"], "shop")


def push(thence: Commands, folder: Path) -> None:
    """Keeps the requests that push the log to a server: path, encoding, and the body as bytes."""
    folder.mkdir()
    thence("server init --data server --quiet")
    thence("server user add ada --password-stdin --data server --quiet", stdin=PASSWORD)
    words = "server run --data server --port 0 --json"
    argv = [thence.python.parent / "thence", *words.split()]
    server = subprocess.Popen(argv, cwd=thence.folder, env=thence.env, stdout=-1, text=True)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        with Proxy(url) as proxy:
            login = f"sync login {proxy.url} --username ada --password-stdin --quiet"
            thence(login, stdin=PASSWORD)
            thence("sync enable --log log --quiet")
            thence("sync now --log log --quiet")
            sent = bytes(proxy.passed[UP])
    finally:
        server.terminate()
        server.communicate()
    while sent:
        head, _, sent = sent.partition(b"\r\n\r\n")
        first, *rows = head.decode().split("\r\n")
        fields = {name.lower(): text for name, _, text in (row.partition(": ") for row in rows)}
        size = int(fields.get("content-length", 0))
        body, sent = sent[:size], sent[size:]
        if first.startswith("POST ") and "/events/" in first:
            packed = fields.get("content-encoding", "identity")
            kept = f"{first.removesuffix(' HTTP/1.1')}\nContent-Encoding: {packed}\n\n".encode()
            (folder / f"{len(list(folder.iterdir())) + 1}.http").write_bytes(kept + body)


def answers(python: Path, folder: Path) -> dict[str, Any]:
    """Returns what an installed thence reads of golden files, in words without an id or a time.

    It asks a copy of them, for a command may put files beside what it reads.
    """
    with tempfile.TemporaryDirectory() as name:
        thence = Commands(python, Path(name))
        for made in ("log", "run", "sweep"):
            shutil.copytree(folder / made, thence.folder / made)
        new_project(thence)
        shutil.copytree(folder / "project", thence.folder / "shop", dirs_exist_ok=True)
        events = [json.loads(line) for line in thence("log --log log --json").splitlines()]
        places = {event["event_id"]: at for at, event in enumerate(events)}
        chain = json.loads(thence("why order/881 --log log --json"))["chain"]
        run = json.loads(thence("sim show run --json"))
        board = json.loads(thence("work status --json", cwd="shop"))
        thence("sim table sweep --output table.csv --quiet")
        return {
            "events": [told(event, places) for event in events],
            "verified": json.loads(thence("verify --log log --json"))["ok"],
            "why": [places[event["event_id"]] for event in chain],
            "run": {name: run[name] for name in OF_A_RUN},
            "board": [
                [one["wp_id"], lane, one["title"], one["agent"], one["subtasks_done"]]
                for feature in board["features"]
                for lane, packages in feature["lanes"].items()
                for one in packages
            ],
            "table": (thence.folder / "table.csv").read_text().splitlines(),
        }


def told(event: dict[str, Any], places: dict[str, int]) -> dict[str, Any]:
    """Returns the members of an event that anybody would write, with its causes by their place."""
    kept = {name: event[name] for name in OF_AN_EVENT if name in event}
    return kept | {"caused_by": [places[one] for one in event.get("caused_by", ())]}


def main(wheel: Path) -> None:
    """Makes the folder anew with a wheel and what pip installs with it."""
    with tempfile.TemporaryDirectory() as name:
        python = Path(name) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", name], check=True)
        installed = [python, "-m", "pip", "install", "--quiet", f"{wheel.resolve()}[server]"]
        subprocess.run(installed, check=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        make(python, FOLDER)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
