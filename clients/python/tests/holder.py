"""holder.py ENDPOINT MODE HOLDER TTL LOG: a process that holds `job`, and logs a line for each thing it does.

MODE `turns`: ten turns, logging `enter TOKEN NS` and `leave TOKEN NS`.
MODE `keep`: until it is lost, logging `check NS HELD TOKEN UNTIL` every few ms: when it asked, whether it holds, and until
    when it may believe; at the end `lost WHY NS`.
NS and UNTIL are on CLOCK_MONOTONIC, which all processes of a machine share.
"""

import asyncio
import os
import sys
import time

import tenure


async def main(endpoint, mode, holder, ttl, path):
    log = os.open(path, os.O_WRONLY | os.O_APPEND)

    def note(*words):
        os.write(log, (" ".join(map(str, words)) + "\n").encode())

    async with tenure.connect(endpoint) as session:
        for _ in range(10 if mode == "turns" else 1):
            async with await session.hold("job", holder=holder, ttl=float(ttl)) as guard:
                if mode == "turns":
                    note("enter", guard.token, time.monotonic_ns())
                    await asyncio.sleep(0.005)
                    note("leave", guard.token, time.monotonic_ns())
                    continue
                held = True
                while held:
                    asked_at = time.monotonic_ns()
                    held, remaining = guard.is_held(), guard.remaining()
                    # Read after `remaining`, so that what is logged is never earlier than what is believed.
                    until = time.monotonic_ns() + int(remaining * 1e9)
                    note("check", asked_at, int(held), guard.token, until)
                    await asyncio.sleep(0.005)
                note("lost", (await guard.lost()).why, time.monotonic_ns())


asyncio.run(main(*sys.argv[1:]))
