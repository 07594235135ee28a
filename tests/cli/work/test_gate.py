"""The words that `thence work gate` takes are those that the events of gates may hold."""

import click

from thence.cli.commands.work.recording import gate_command
from thence.work.board.move_request import GATE_STATUSES, GATE_TYPES
from thence.work.events import checked


def test_command_takes_the_words_of_the_events_and_no_others():
    choices = {
        parameter.name: parameter.type.choices
        for parameter in gate_command.params
        if isinstance(parameter.type, click.Choice)
    }
    assert choices == {"gate_type": GATE_TYPES, "result": GATE_STATUSES}
    for gate_type in GATE_TYPES:
        payload = {"work_package_id": "WP01", "gate_type": gate_type, "gate_id": "0" * 26}
        assert checked("GateCreated", payload) == payload
