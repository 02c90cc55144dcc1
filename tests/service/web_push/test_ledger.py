"""Subscriptions in the ledger, on both databases: what happens at once, and how many there may be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from service.jobs.ledger import Ledger
from service.web_push.ledger import PushLedger
from service.web_push.tables import PushSubscription
from tests.patience import WAIT_SECONDS


def wanted(number: int = 0, *, endpoint: str = "https://push.example.org/1", client: str = "c") -> PushSubscription:
    return PushSubscription(
        id=f"{endpoint[-1]}-{number}",
        client=client,
        endpoint=endpoint,
        p256dh="p",
        auth="a",
        feed="north",
        lon=5.0,
        lat=52.0,
        name="Town",
        rain_rate=0.5,
        probability=None,
        within=30.0,
        language="en",
    )


def test_the_same_place_subscribed_to_twice_at_once_is_one_subscription(ledger: Ledger) -> None:
    push, at_once = PushLedger(ledger), Barrier(4, timeout=WAIT_SECONDS)

    def subscribe(number: int) -> list[str]:
        ids = []
        for round_number in range(5):
            at_once.wait()
            ids.append(push.subscribe(wanted(round_number), most=10, most_of_client=10).id)
        return ids

    with ThreadPoolExecutor(4) as pool:
        assert len({tuple(ids) for ids in pool.map(subscribe, range(4))}) == 1
    assert len(push.of_feed("north")) == 5
