"""``python -m benchmarks NAME [--json] [--repeat N] [--count N]``."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.harness import REPEAT_MIN, Options, Report
from benchmarks.peers import ETCD, JETSTREAM_SYNCED, NATS, PYZMQ, REDIS
from benchmarks.processes import BenchmarkFailed

# Imported one by one when asked for: `codec` alone needs none of the others.
MODULES = {
    "events": "benchmarks.events",
    "rtt": "benchmarks.rtt",
    "fanout": "benchmarks.fanout",
    "subscriptions": "benchmarks.subscriptions",
    "codec": "benchmarks.codec",
    "import": "benchmarks.import_time",
    "help": "benchmarks.help_time",
    "relay": "benchmarks.relay",
    "facades": "benchmarks.facades",
    "simulation": "benchmarks.simulation",
    "scale": "benchmarks.scale",
    "hostile": "benchmarks.hostile",
    "store-put": "benchmarks.store_put",
    "store-batch": "benchmarks.store_batch",
    "store-read": "benchmarks.store_read",
    "store-replicate": "benchmarks.store_replicate",
    "store-snapshot": "benchmarks.store_snapshot",
    "store-container": "benchmarks.store_container",
    "log-durable": "benchmarks.log_durable",
    "log-buffered": "benchmarks.log_buffered",
    "log-volatile": "benchmarks.log_volatile",
    "log-replay": "benchmarks.log_replay",
    "log-lag": "benchmarks.log_lag",
    "curve": "benchmarks.curve",
    "access": "benchmarks.access",
    "seals": "benchmarks.seals",
    "secrecy": "benchmarks.secrecy",
    "rules-one": "benchmarks.rules_one",
    "rules-many": "benchmarks.rules_many",
    "rules-pattern": "benchmarks.rules_pattern",
    "rules-window": "benchmarks.rules_window",
}


COUNT_HELP = (
    "events, records, round trips, subscriptions, puts, entries or simulated seconds in a repetition; "
    "endpoints in the largest mesh; attacks"
)


def main() -> int:
    """Run what the command line names; return 1 when a benchmark failed."""
    arguments = _parse()
    failed = 0
    if arguments.name == "all":
        _say_what_is_missing()
    for name in MODULES if arguments.name == "all" else [arguments.name]:
        try:
            report: Report = importlib.import_module(MODULES[name]).run(Options(arguments.repeat, arguments.count))
        except BenchmarkFailed as error:
            print(f"{name}: failed: {error}", file=sys.stderr)
            failed = 1
        else:
            print(report.as_json() if arguments.json else report.as_table() + "\n", flush=True)
    return failed


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure broker beside its peers.")
    parser.add_argument("name", choices=[*MODULES, "all"])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--repeat", type=_positive, default=REPEAT_MIN, help=f"repetitions (default {REPEAT_MIN})")
    parser.add_argument("--count", type=_positive, help=COUNT_HELP)
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _say_what_is_missing() -> None:
    for peer in (PYZMQ, NATS, JETSTREAM_SYNCED, REDIS, ETCD):
        why = peer.missing()
        print(f"{peer.name}: {'missing: ' + why if why else peer.version()}")
    print(
        "the peers: Debian packages nats-server, redis-server, etcd-server; from PyPI nats-py, redis, grpcio "
        "(pip install '.[bench]')\n",
        flush=True,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
