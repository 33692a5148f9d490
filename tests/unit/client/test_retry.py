import pytest

from fettle_client.protocol import GoneError, UnavailableError
from fettle_client.retry import RetryPolicy

POLICY = RetryPolicy(attempts=3, first_delay_seconds=0.001, max_delay_seconds=8, total_seconds=5)


def unavailable(status: int = 503, code: str = "ServiceUnavailable", **details: int) -> UnavailableError:
    return UnavailableError(status, code, "down", details)


@pytest.mark.parametrize(("failures", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (10_000, 8)])
def test_the_delay_doubles_up_to_its_cap_and_is_jittered(failures: int, longest: float) -> None:
    policy = RetryPolicy(first_delay_seconds=1, max_delay_seconds=8)
    delays = {policy.delay_seconds(failures) for _ in range(50)}
    assert longest / 2 <= min(delays) < max(delays) <= longest


def test_the_delay_is_never_shorter_than_the_server_asked_for() -> None:
    assert POLICY.delay_seconds(1, unavailable(429, retryAfterSeconds=7)) == 7


@pytest.mark.parametrize(
    ("error", "is_repeatable", "attempts"),
    [
        (unavailable(), True, 3),
        (unavailable(), False, 1),
        (unavailable(504, "Interrupted"), False, 1),
        (unavailable(503, "Unreachable"), False, 3),
        (unavailable(429, "TooManyRequests"), False, 3),
        (unavailable(429, "TooManyRequests", retryAfterSeconds=3600), True, 1),
        (GoneError(410, "Expired", "too old"), True, 1),
    ],
)
async def test_only_what_waiting_can_cure_is_repeated(error: Exception, is_repeatable: bool, attempts: int) -> None:
    made = []

    async def attempt() -> None:
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        await POLICY.run(attempt, is_repeatable)
    assert len(made) == attempts
