"""Gates let one through; the parking place lets in first come, first served."""

from threading import Event as Signal
from threading import Thread

from thence.log.write.latch import Callers, Latch, Parking

WAIT_S = 60.0


def test_gate_opened_twice_lets_one_through():
    gate = Latch()
    assert not gate.wait(0)
    gate.open()
    gate.open()
    assert gate.wait(None)
    assert not gate.wait(0)
    assert not gate.wait(-1)


def test_gate_opened_before_the_wait_or_during_it_lets_through():
    gate = Latch()
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


def test_callers_who_come_and_leave_are_counted():
    callers = Callers()
    assert (callers.came, callers.left) == (0, 0)
    callers.come()
    callers.come()
    assert (callers.came, callers.left) == (2, 0)
    callers.leave()
    assert (callers.came, callers.left) == (2, 1)


def test_parking_with_people_waiting_lets_nobody_pass_them_though_there_is_room():
    parking = Parking()
    is_full = True
    asked: list[bool] = []

    def look():
        asked.append(is_full)
        return is_full

    first = Thread(target=parking.wait, args=(look,))
    first.start()
    while parking.is_empty:
        first.join(0.001)
    is_full = False
    second = Thread(target=parking.wait, args=(look,))
    second.start()
    while len(parking._gates) < 2:
        second.join(0.001)
    assert not parking.is_empty
    assert asked == [True]
    parking.let_in(1)
    first.join(WAIT_S)
    assert not first.is_alive()
    assert second.is_alive()
    parking.let_in(9)
    second.join(WAIT_S)
    assert not second.is_alive()
    assert parking.is_empty
