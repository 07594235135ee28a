"""Gates let one through; the parking place lets in first come, first served."""

from threading import Event as Signal
from threading import Thread

from thence.log.gate import Gate, Parking

WAIT_S = 20.0


def test_gate_opened_twice_lets_one_through():
    gate = Gate()
    assert not gate.wait(0)
    gate.open()
    gate.open()
    assert gate.wait(None)
    assert not gate.wait(0)
    assert not gate.wait(-1)


def test_gate_opened_before_the_wait_or_during_it_lets_through():
    gate = Gate()
    for _ in range(500):
        thread = Thread(target=gate.open)
        thread.start()
        assert gate.wait(WAIT_S)
        thread.join()


def test_parking_lets_in_in_order_of_arrival():
    parking = Parking()
    order: list[int] = []
    threads = []
    for number in range(5):
        parked = Signal()

        def park(number=number, parked=parked):
            def is_full():
                parked.set()
                return True

            if number:  # the gates of those who wait before say that it is full
                parked.set()
            parking.wait(is_full)
            order.append(number)

        thread = Thread(target=park)
        thread.start()
        assert parked.wait(WAIT_S)
        while len(parking._gates) <= number:
            thread.join(0.001)
        threads.append(thread)
    parking.let_in(0)
    assert order == []
    for number, thread in enumerate(threads):
        parking.let_in(1)
        thread.join(WAIT_S)
        assert order == list(range(number + 1))
    assert parking.is_empty
    parking.wait(lambda: False)
    parking.let_in(7)
