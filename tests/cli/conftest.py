"""A small log of an order's life, made by the package that is installed."""

from pathlib import Path

import pytest

import thence


@pytest.fixture
def orders(tmp_path: Path) -> list[str]:
    """Four events in ./orders: placed, paid, failed because of both, and one apart."""
    with thence.open(tmp_path / "orders") as log:
        placed = log.append("order.placed", {"amount": 12}, subject="order/881", actor="ada")
        paid = log.append("order.paid", {"amount": 12}, actor="ben", caused_by=[placed])
        failed = log.append("order.failed", {"reason": "no stock"}, caused_by=[placed, paid])
        apart = log.append("note", {"text": "unrelated"})
    return [event.event_id for event in (placed, paid, failed, apart)]
