"""Which tests run through the facades, how many those are, and which do not, with the reason."""

from __future__ import annotations

from typing import Final

__all__ = ["FILES", "NOT_THROUGH", "TESTS"]

FILES: Final = (
    "test_endpoint.py",
    "test_readers.py",
    "test_store_proxy.py",
    "test_stores_disk.py",
    "stores/test_stores_handles.py",
    "stores/test_stores_places.py",
    "stores/test_stores_watches.py",
    "stores/test_stores_faults.py",
    "logs/test_logs_handles_collectors.py",
    "logs/test_logs_handles_limits.py",
    "logs/test_logs_handles_members.py",
    "logs/test_logs_handles_writers.py",
    "logs/test_logs_bad_input.py",
    "testing/test_testing_endpoints.py",
    "testing/test_testing_faults.py",
    "interop/test_interop_exchange.py",
    "interop/test_interop_cancel.py",
    "interop/test_interop_foreign.py",
)
_INSIDE: Final = {
    "test_ctrl_c_that_strikes_in_a_task_of_the_endpoints_own_leaves_it_as_keyboardinterrupt_alone": (
        "Python handles signals in the main thread, where no task of an endpoint's is"
    ),
    "test_two_processes_exchange_a_hundred_thousand_events_in_order_and_once": (
        "a thread for each of so many calls takes long; its shorter neighbours run"
    ),
    "test_two_hundred_endpoints_peer_with_one_manager": "two hundred endpoints in one thread take long",
    "test_a_blocked_publisher_goes_on_when_its_reader_reads": "16 MB more wait in the outbox: its count is the core's",
    "test_a_full_spool_lets_writers_wait_until_a_collector_has_had_some": (
        "how much is written in its moment of real time depends on how fast a thread for each call is"
    ),
    "test_a_collector_that_is_forgotten_no_longer_holds_the_spool": (
        "how much is written in its moment of real time depends on how fast a thread for each call is"
    ),
    "test_publish_nowait_says_would_block_and_publish_waits": (
        "what is published waits in the outbox, too: tests/blocking has this with its size"
    ),
    "test_an_open_endpoint_has_few_enough_attributes_for_quick_look_ups": "it is about the core's object",
}
NOT_THROUGH: Final[dict[str, dict[str, str]]] = {"blocking": {**_INSIDE}, "aio": {**_INSIDE}}
TESTS: Final = {"blocking": 417, "aio": 417}
