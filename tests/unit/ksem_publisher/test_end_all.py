import asyncio

from ksem_publisher.service import end_all


def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    async def deaf(times: int) -> None:
        while times:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                times -= 1

    async def main() -> None:
        tasks = [asyncio.create_task(deaf(times)) for times in (1, 2, 3)]
        await asyncio.sleep(0)
        await asyncio.wait_for(end_all(tasks), 5)
        assert all(task.done() for task in tasks)

    asyncio.run(main())
