import asyncio

from fettle_api.web.slices import in_slices


async def test_others_go_on_while_a_long_list_is_made() -> None:
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(another())
    assert await in_slices(range(1000), lambda number: number + 1) == list(range(1, 1001))
    assert turns >= 49
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_of_nothing_nothing_is_made() -> None:
    assert await in_slices([], str) == []
