"""Gates let one through; the parking place lets in first come, first served."""

from threading import Event as Signal
from threading import Thread

from tests.log.committers import until, waiting

from thence.log.write.batch import Latch, WaiterCount, WaitQueue

WAIT_S = 60.0


def test_latch_opened_twice_lets_one_through():
    latch = Latch()
    assert not latch.wait(0)
    latch.open()
    latch.open()
    assert latch.wait(None)
    assert not latch.wait(0)
    assert not latch.wait(-1)


def test_latch_opened_before_the_wait_or_during_it_lets_through():
    latch = Latch()
    for _ in range(500):
        thread = Thread(target=latch.open)
        thread.start()
        assert latch.wait(WAIT_S)
        thread.join()


def test_parking_lets_in_in_order_of_arrival():
    wait_queue = WaitQueue()
    order: list[int] = []
    threads = []
    for number in range(5):
        queued = Signal()

        def park(number=number, queued=queued):
            def is_full():
                queued.set()
                return True

            if number:  # only the first callers find the queue full
                queued.set()
            wait_queue.wait(is_full)
            order.append(number)

        thread = Thread(target=park)
        thread.start()
        assert queued.wait(WAIT_S)
        threads.append(thread)
        until(lambda: waiting(threads) == threads)
    wait_queue.admit(0)
    assert order == []
    for number, thread in enumerate(threads):
        wait_queue.admit(1)
        thread.join(WAIT_S)
        assert order == list(range(number + 1))
    assert wait_queue.is_empty
    wait_queue.wait(lambda: False)
    wait_queue.admit(7)


def test_callers_who_come_and_leave_are_counted():
    callers = WaiterCount()
    assert (callers.came, callers.left) == (0, 0)
    callers.come()
    callers.come()
    assert (callers.came, callers.left) == (2, 0)
    callers.leave()
    assert (callers.came, callers.left) == (2, 1)


def test_parking_with_people_waiting_lets_nobody_pass_them_though_there_is_room():
    wait_queue = WaitQueue()
    is_full = True
    asked: list[bool] = []

    def look():
        asked.append(is_full)
        return is_full

    first = Thread(target=wait_queue.wait, args=(look,))
    first.start()
    until(lambda: waiting([first]))
    is_full = False
    second = Thread(target=wait_queue.wait, args=(look,))
    second.start()
    until(lambda: waiting([second]))
    assert not wait_queue.is_empty
    assert asked == [True]
    wait_queue.admit(1)
    first.join(WAIT_S)
    assert not first.is_alive()
    assert second.is_alive()
    wait_queue.admit(9)
    second.join(WAIT_S)
    assert not second.is_alive()
    assert wait_queue.is_empty
