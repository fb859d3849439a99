"""Figures as Prometheus gets them."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
import trio
from msgspec import structs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import broker
from broker import blocking
from broker.figures import (
    CollectorFigures,
    EndpointFigures,
    Figures,
    FollowerFigures,
    LinkFigures,
    LogFigures,
    LossFigures,
    NameFigures,
    ReceiverFigures,
    SourceFigures,
    StoreFigures,
    SubscriptionFigures,
)
from broker.metrics import Metrics
from broker.testing import SimulatedNetwork

GOLDEN = Path(__file__).parent / "vectors" / "metrics.txt"

OWN = EndpointFigures(
    "one", 60.5, 3, 2, 1000, 13000, 20, 300, 40, 5, 700, 1, 2, 3, 4, 6, (LossFigures("in", "slow", 7),)
)
LINK = LinkFigures("two", "sim://two", True, "linked", 0.002, 10, 2000, 11, 2200, 1, 2, 300, 3, 400, False)
MASTER = StoreFigures(
    "hosts", "master", "one", 7, 2, 90, 0.0, 5000, 8192, 88, 44, 0.5, 1, "", (FollowerFigures("two", 85, 5, False),)
)
CLONE = StoreFigures("users", "clone", "", 3, 1, 20, 12.5, 100, 0, 20, 10, 0.0, 0, "no master")
PROXY = StoreFigures("jobs", "proxy", "two", 0, 0, 0, 0.0, 0, 0, 0, 0, 0.0, 0, "")
FIGURES = Figures(
    OWN,
    (LINK,),
    (ReceiverFigures("two", 100, 30, True, False), ReceiverFigures("three", 50, 2, False, True)),
    (
        SubscriptionFigures("host/", (), "block", 20, 0, 5, 60, 10, 1000, True, False),
        SubscriptionFigures("log/", ("x",), "drop_oldest", 20, 7, 4, 50, 10, 1000, False, True),
    ),
    (MASTER, CLONE, PROXY),
    (LogFigures("conn", 99, 7000, 1 << 30, 10, 50, 3, 20, 0.25, "", (NameFigures("archive", 90, 9, 1.5, 1, 4, 3),)),),
    (CollectorFigures("dns", "archive", 600, 70, 60, (SourceFigures("two", 60, 75, 15, 2.5, True),)),),
)

Values = dict[str, dict[tuple[tuple[str, str], ...], float]]


def _values(text: str) -> Values:
    """The samples of an exposition, by name and labels."""
    found: Values = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found[sample.name], "a series comes twice"
            found[sample.name][labels] = sample.value
    return found


def _of(*figures: Figures, labels_max: int = 100) -> Values:
    metrics = Metrics(*[lambda one=one: one for one in figures], labels_max=labels_max)
    return _values(generate_latest(metrics.registry).decode())


def _labels(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"endpoint": "one", **labels}.items()))


def test_the_names_and_labels_are_those_that_dashboards_know() -> None:
    """What is in the file stays as it is; what is new is appended to it in its place."""
    found = _of(FIGURES)
    lines = [f"{name} {' '.join(label for label, _ in next(iter(series)))}".strip() for name, series in found.items()]
    assert GOLDEN.read_text().splitlines() == sorted(lines)


def test_names_have_base_units_and_counters_say_that_they_are() -> None:
    metrics = Metrics(lambda: FIGURES)
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        assert family.name.startswith("broker_")
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge"}
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)
        assert not any(unit in family.name for unit in ("_ms", "milliseconds", "_kb", "_mb", "_s_"))


def test_values_are_those_of_the_figures() -> None:
    found = _of(FIGURES)
    assert found["broker_uptime_seconds"] == {_labels(): 60.5}
    assert found["broker_events_published_total"] == {_labels(): 1000}
    assert found["broker_link_round_trip_seconds"] == {_labels(peer="two"): 0.002}
    assert found["broker_link_up"] == {_labels(peer="two"): 1}
    assert found["broker_store_staleness_seconds"] == {
        _labels(store="hosts", role="master"): 0,
        _labels(store="users", role="clone"): 12.5,
    }
    assert found["broker_store_failing"][_labels(store="users", role="clone")] == 1
    assert found["broker_store_followers"] == {_labels(store="hosts", role="master"): 1}
    assert found["broker_store_follower_lag_operations"] == {_labels(store="hosts", follower="two"): 5}
    assert found["broker_log_collector_lag_seconds"] == {_labels(stream="conn", collector="archive"): 1.5}
    assert found["broker_collector_lag_records"] == {_labels(stream="dns", collector="archive", writer="two"): 15}
    assert found["broker_receivers_waiting"] == found["broker_receivers_away"] == {_labels(): 1}
    assert found["broker_receivers_unacknowledged_messages"] == {_labels(): 32}
    assert found["broker_subscriptions_queued_messages"] == {_labels(): 9}
    assert found["broker_build_info"] == {(("version", broker.__version__),): 1}


def test_losses_have_a_series_before_the_first_one() -> None:
    lost = _of(FIGURES)["broker_messages_lost_total"]
    assert lost.pop(_labels(direction="in", reason="slow")) == 7
    assert len(lost) == 7
    assert set(lost.values()) == {0}


def test_what_was_not_measured_has_no_value_and_what_never_was_there_is_infinitely_stale() -> None:
    new = structs.replace(LINK, rtt_s=None, state="beginning")
    never = structs.replace(CLONE, staleness_s=float("inf"))
    found = _of(structs.replace(FIGURES, links=(new,), stores=(never,)))
    assert not found["broker_link_round_trip_seconds"]
    assert found["broker_link_up"] == {_labels(peer="two"): 0}
    assert found["broker_store_staleness_seconds"] == {_labels(store="users", role="clone"): float("inf")}


def test_no_topic_becomes_a_label() -> None:
    assert "host/" not in str(_of(FIGURES))


def test_a_thousand_peers_have_a_hundred_series_and_one_for_the_others() -> None:
    links = tuple(structs.replace(LINK, peer=f"agent-{n}", rtt_s=n / 1000) for n in range(1000))
    found = _of(structs.replace(FIGURES, links=links))
    sent, trips = found["broker_link_sent_bytes_total"], found["broker_link_round_trip_seconds"]
    assert len(sent) == len(trips) == 101
    assert sent[_labels(peer="agent-99")] == 2000
    assert sent[_labels(peer="other")] == 900 * 2000
    assert trips[_labels(peer="other")] == 0.999  # a sum of these would be none


def test_who_has_a_series_keeps_it_as_long_as_it_is_there() -> None:
    links = [structs.replace(LINK, peer=f"agent-{n}") for n in range(4)]
    now = [structs.replace(FIGURES, links=tuple(links[2:]))]
    metrics = Metrics(lambda: now[0], labels_max=2)

    def peers() -> set[str]:
        found = _values(generate_latest(metrics.registry).decode())["broker_link_up"]
        return {dict(labels)["peer"] for labels in found}

    assert peers() == {"agent-2", "agent-3"}
    now[0] = structs.replace(FIGURES, links=tuple(links))
    assert peers() == {"agent-2", "agent-3", "other"}
    now[0] = structs.replace(FIGURES, links=tuple(links[:3]))
    assert peers() == {"agent-0", "agent-2", "other"}


def test_two_links_with_peers_of_one_name_are_one_series() -> None:
    found = _of(structs.replace(FIGURES, links=(LINK, structs.replace(LINK, rtt_s=0.5))))
    assert found["broker_link_sent_bytes_total"] == {_labels(peer="two"): 4000}
    assert found["broker_link_round_trip_seconds"] == {_labels(peer="two"): 0.5}


def test_several_endpoints_share_a_registry() -> None:
    other = structs.replace(FIGURES, endpoint=structs.replace(OWN, endpoint="two"))
    found = _of(FIGURES, other)
    assert found["broker_events_published_total"] == {_labels(): 1000, (("endpoint", "two"),): 1000}


def test_names_of_peers_are_escaped() -> None:
    found = _of(structs.replace(FIGURES, links=(structs.replace(LINK, peer='a"b\\c'),)))
    assert found["broker_link_up"] == {_labels(peer='a"b\\c'): 1}


@pytest.mark.parametrize("arguments", [{"labels_max": 0}, {}])
def test_metrics_that_make_no_sense_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"positive number|give the endpoint"):
        Metrics(*[lambda: FIGURES] * len(arguments), **arguments)  # type: ignore[arg-type]


# -- endpoints ---------------------------------------------------------------------------------------------------------


def _scraped(address: str) -> Values:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return _values(answer.read().decode())


async def test_prometheus_asks_a_trio_endpoint_from_another_thread() -> None:
    async with broker.Endpoint("one", network=SimulatedNetwork()) as endpoint, trio.open_nursery() as nursery:
        metrics = Metrics(endpoint)
        address = await nursery.start(metrics.serve, "127.0.0.1:0")
        async with endpoint.subscribe("x") as messages:
            for _ in range(3):
                await endpoint.publish("x", broker.Event("Tick"))
                await messages.receive()
            found = await trio.to_thread.run_sync(_scraped, address)
        assert found["broker_events_published_total"] == {_labels(): 3}
        assert found["broker_subscriptions"] == {_labels(): 1}
        own = _values(generate_latest(metrics.registry).decode())  # and in trio's own thread
        assert own["broker_messages_delivered_total"] == {_labels(): 3}
        nursery.cancel_scope.cancel()
    with pytest.raises(OSError, match="refused"):
        await trio.to_thread.run_sync(_scraped, address)


def test_prometheus_asks_a_blocking_endpoint() -> None:
    with blocking.Endpoint("one") as endpoint:
        metrics = Metrics(endpoint)
        with metrics.serving("127.0.0.1:0") as address:
            assert _scraped(address)["broker_uptime_seconds"][_labels()] > 0
        with pytest.raises(OSError, match="refused"):
            _scraped(address)
    assert not _values(generate_latest(metrics.registry).decode())["broker_uptime_seconds"]  # it is closed


def test_a_trio_endpoint_s_metrics_are_made_in_its_program() -> None:
    with pytest.raises(RuntimeError, match="are made in the trio program that it runs in"):
        Metrics(broker.Endpoint("one", network=SimulatedNetwork()))


async def test_metrics_are_registered_with_a_registry_that_asks_at_once() -> None:
    registry = CollectorRegistry(auto_describe=True)
    endpoint = broker.Endpoint("one", network=SimulatedNetwork())  # it is not entered: it could not answer
    Metrics(endpoint, registry=registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Metrics(endpoint, registry=registry)


@pytest.mark.parametrize("address", ["9464", ":9464", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="an address is HOST:PORT"), Metrics(lambda: FIGURES).serving(address):
        pass


def test_without_prometheus_client_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; import broker.metrics"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "pip install 'broker-mesh[metrics]'" in ended.stderr.splitlines()[-1]
