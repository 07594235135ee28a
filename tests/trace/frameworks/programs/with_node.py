"""A program of Node with OpenTelemetry's SDK, whose spans `thence serve --otlp` takes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import thence

SHOP = Path(sys.executable).parents[1] / "node/shop.mjs"
# of the environment that has the extra `server`
THENCE = Path(__file__).parents[4] / ".venv/bin/thence"
server = subprocess.Popen(
    [THENCE, "serve", "agent", "--otlp", "--port", "0"], stdout=subprocess.PIPE, text=True
)
try:
    endpoint = server.stdout.readline().strip()
    settings = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    subprocess.run(["node", SHOP, sys.argv[1]], env=settings, check=True)
    for _ in range(100):
        with thence.open("agent") as log:
            events = {event.event_type: event for event in log.read()}
        if len(events) == 6:
            break
        time.sleep(0.1)
finally:
    server.send_signal(signal.SIGTERM)
    server.wait(30)
names = {event.event_id: event.event_type for event in events.values()}
causes = {name: [names[one] for one in event.caused_by] for name, event in events.items()}
assert causes == {
    "agent.begun": [],
    "chat.begun": ["agent.begun"],
    "chat.ended": ["chat.begun"],
    "pay.begun": ["agent.begun", "chat.ended"],
    "pay.failed": ["pay.begun"],
    "agent.ended": ["agent.begun"],
}, causes
assert events["pay.failed"].payload["error_message"] == "give an idempotency key"
assert list(Path("agent").glob(".thence/otlp/*.json")) == []
