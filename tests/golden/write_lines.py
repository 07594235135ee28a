"""The command that writes `tests/golden/lines`: lines of this commit, which the next one reads.

`python -m tests.golden.write_lines`. Until the first release the folder is written anew whenever a
format changes; what is in it then is kept for ever.
"""

import json
import math
import shutil
from pathlib import Path

import thence
from thence.core.redaction import REDACTED, Redaction, digests
from thence.core.vocabulary import WORK
from thence.log.open import open_host_log
from thence.sim import (
    Event,
    EventWriter,
    create_action_event,
    create_decision_event,
    create_detail_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)

FOLDER = Path(__file__).parent / "lines"
FOREIGN = b'{"event_id": "theirs-1", "timestamp": "2026-11-20T07:12:59Z", "note": "\\u00e9"}\n'
TORN = b'{"event_id":"01KAG0QV3J0000000044SGTKJP","event_type":"ha'
TEXT = 'quote " backslash \\ newline \n nul \u0000 é 漢字 😀 \u2028 ' * 40
KEPT = ("log.json", "redactions.json")


def write(folder: Path) -> None:
    """Writes a log of each vocabulary, and what is to be read of each."""
    shutil.rmtree(folder, ignore_errors=True)
    plain(folder / "plain")
    sim(folder / "sim")
    work(folder / "work")
    for log in sorted(folder.iterdir()):
        for path in sorted((log / ".thence").iterdir()):
            if path.name not in KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        expected = json.dumps(content(log), indent=1, sort_keys=True)
        (folder / f"{log.name}.json").write_text(f"{expected}\n", "utf-8")


def content(folder: Path) -> dict[str, object]:
    """Returns what is read of a log: the members of each event, and what `verify` finds."""
    with thence.open(folder, create=False) as log:
        events = [json.loads(event.whole_line) for event in log.read()]
        found = log.verify()
    return {"events": events, "ok": found.ok, "codes": [one.code for one in found.findings]}


def plain(folder: Path) -> None:
    """Writes steps, causes, repairs, large values, a redaction, a notice, another tool's line."""
    with thence.open(folder, max_file_size=20_000) as log:
        with thence.step("refund", log=log, subject="order/881", actor="worker-3", amount=12.5):
            first = log.append("told", {"text": TEXT, "": [0.5, None, 2**64 - 1, -0.0, 5e-324]})
            log.append("told", {"text": f"{TEXT}and more"})
        messages = [{"role": "system", "content": TEXT}, {"role": "user", "content": "hi " * 400}]
        log.append("asked", {"messages": messages}, stream="nightly", caused_by=first)
        log.append("asked", {"messages": [*messages, "yes"]})
        secret = log.append("told", {"text": "swordfish"})
        digest = digests(secret.line).line.hex()
        redaction = Redaction(secret.event_id, digest, "a password")
        log.redactions.record(REDACTED, redaction.facts(), (secret.event_id,))
        log.redactions.take_back([redaction])
    with (folder / "events.jsonl").open("ab") as file:
        file.write(FOREIGN + TORN)
    with thence.open(folder) as log:
        log.append("told", {"text": "behind a torn line"})


def sim(folder: Path) -> None:
    """Writes a typed event of each kind, and a call of a model with a large prompt."""
    run = "trade-20261120T071300Z-k3x9qa"
    start = create_milestone_event(run, 0, "simulation_start")
    decision = create_decision_event(run, 0, "ada", "trade", None, math.nan, caused_by=[start])
    action = create_action_event(run, 0, "ada", "sell", {"sacks": 3}, caused_by=[decision])
    state = create_state_event(run, 0, "grain", 5, 2, "ada", caused_by=[action])
    detail = create_detail_event(run, 0, "price", {"ask": 0.1}, description="Ada – weighs")
    call = {"error_type": "llm_call", "status": "success", "retry_count": 0, "prompt": TEXT}
    called = Event(simulation_id=run, event_type="SYSTEM", agent_id="ada", details=call)
    failed = create_system_event(run, 3, "agent_error", "failure")
    with EventWriter(folder, run, "DETAIL", mode="sync") as writer:
        for event in (start, decision, action, state, detail, called):
            assert writer.emit(event)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(TORN)
    with EventWriter(folder, run, "DETAIL", mode="sync") as writer:
        assert writer.emit(failed)


def work(folder: Path) -> None:
    """Writes moves of a package as a project's journal has them."""
    with open_host_log(folder, WORK) as log:
        made = log.append("WPCreated", {"wp_id": "WP01", "title": "Tea"}, subject="WP01")
        moved = {"old_status": "planned", "new_status": "doing", "changed_by": "ada"}
        log.append("WPStatusChanged", moved, subject="WP01", actor="ada", caused_by=made)


if __name__ == "__main__":
    write(FOLDER)
