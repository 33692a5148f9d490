"""The queue of keys."""

import asyncio

from fettle_operator.workqueue import WorkQueue
from tests.support.polling import eventually


async def test_a_key_is_held_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_what_arrives_meanwhile_is_handled_afterwards_and_not_at_the_same_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    assert await queue.get() == key


async def test_the_earliest_timer_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.001)
    queue.add_after("a", 60)
    assert await asyncio.wait_for(queue.get(), 30) == "a"
    queue.close()


async def test_back_off_doubles_up_to_its_cap_and_starts_again_after_success() -> None:
    queue: WorkQueue[str] = WorkQueue(base_seconds=1, cap_seconds=5)
    assert [queue.retry("a") for _ in range(4)] == [1, 2, 4, 5]
    queue.forget("a")
    assert queue.retry("a") == 1
    queue.close()


async def test_closing_sends_workers_home() -> None:
    queue: WorkQueue[str] = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.close()
    assert await asyncio.gather(*workers) == [None] * 3
    queue.add("a")
    assert len(queue) == 0


async def test_what_is_held_is_not_handled_before_its_time_whoever_adds_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.hold("a", 0.05)
    queue.done("a")
    queue.add("a")
    queue.add("b")
    assert (await queue.get(), len(queue)) == ("b", 0)
    assert await asyncio.wait_for(queue.get(), 30) == "a"
    queue.done("a")
    assert len(queue) == 0
    queue.close()


async def holding_one_while_another_is_urgent() -> WorkQueue[str]:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.hold("a", 0.02)
    queue.done("a")
    queue.add("urgent", is_urgent=True)
    return queue


async def test_a_held_key_is_held_again_while_urgent_ones_wait_but_not_for_ever() -> None:
    queue = await holding_one_while_another_is_urgent()
    queue.add_after("b", 0.1)

    async def all_are_ready() -> bool:
        return len(queue) == 3

    await eventually(all_are_ready, "the held key is let go", every_seconds=0.01)
    assert [await queue.get() for _ in range(3)] == ["urgent", "b", "a"]
    queue.close()


async def test_a_held_key_is_let_go_once_no_urgent_one_waits() -> None:
    queue = await holding_one_while_another_is_urgent()
    assert await queue.get() == "urgent"
    assert await asyncio.wait_for(queue.get(), 30) == "a"
    queue.close()


async def test_urgent_keys_go_first_and_let_others_pass() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("patient")
    for number in range(20):
        queue.add(f"urgent-{number}", is_urgent=True)
    order = [await queue.get() for _ in range(len(queue))]
    assert order.index("patient") == 8
    assert len(set(order)) == 21
