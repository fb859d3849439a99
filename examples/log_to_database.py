"""Log records into a database, each exactly once, even if this program is killed between any two instructions.

It collects what the agents of log_shipping.py write, with or beside the collector there: it has a name of its own.

    python examples/log_to_database.py [FILE [ADDRESS]]      disks.db, listens on tcp://127.0.0.1:4242
    python examples/log_shipping.py agent web-01
    sqlite3 disks.db 'select origin, count(*), max(number) from disks group by origin'

Rows and the collector's checkpoint go into the database in one transaction; only then records are acknowledged.  Killed
before it, the program gets the records again and has no rows of them; killed behind it, it says by the checkpoint that
it has them, and gets none again.
"""

from __future__ import annotations

import sqlite3
import sys

import trio

import broker

TABLES = """
    create table if not exists disks (origin text, number integer, at text, mount text, used real);
    create table if not exists checkpoint (only integer primary key check (only = 1), data blob);
"""


async def main(path: str = "disks.db", address: str = "tcp://127.0.0.1:4242") -> None:
    """Insert what comes, until Ctrl-C."""
    database = sqlite3.connect(path, check_same_thread=False)
    database.executescript(TABLES)
    found = database.execute("select data from checkpoint").fetchone()

    def insert(messages: list[broker.LogMessage], checkpoint: bytes) -> None:
        # The class of the records is not known here: a record is its fields, in the order of message.columns.
        rows = [(one.origin, one.number, str(one.record.args[0]), *one.record.args[1:3]) for one in messages]
        with database:  # one transaction
            database.executemany("insert into disks values (?, ?, ?, ?, ?)", rows)
            database.execute("insert or replace into checkpoint values (1, ?)", (checkpoint,))

    async with (
        broker.Endpoint("database") as endpoint,
        endpoint.collect(
            "disks", name="database", acknowledge="explicit", checkpoint=found[0] if found else None
        ) as records,
    ):
        print("listening on", await endpoint.listen(address), flush=True)
        while True:
            batch = await records.receive_batch()  # of one agent, in its order
            await trio.to_thread.run_sync(insert, batch, records.checkpoint(through=batch[-1:]))
            records.acknowledge(batch[-1], through=True)
            print(f"{len(batch)} rows from {batch[0].origin}, up to {batch[-1].number}", flush=True)


if __name__ == "__main__":
    try:
        trio.run(lambda: main(*sys.argv[1:]))
    except* KeyboardInterrupt:
        pass
    except* broker.BrokerError as group:
        sys.exit("; ".join(map(str, group.exceptions)))
