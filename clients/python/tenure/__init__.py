"""Hold leases of a Tenure cluster.

    async with tenure.connect("localhost:7400") as session:
        async with await session.hold("db/primary", holder="mysql/0", ttl=15) as guard:
            while guard.is_held():
                await work(guard.token)

The session keeps the lease until the block is left or the lease is lost; `await guard.lost()` says when and why. Give
`guard.token` to whatever the lease protects, and have it refuse a lower one: a check is an instant, and a process that is
stopped between its check and its act acts late.

    clock    holder time            belief   what a holder may believe, and until when (pure)
    link     one WebSocket          outcome  the kinds of "no", and what an answer proves (pure)
    links    which member to ask    call     one call's life, over any number of attempts
    session  claims and reads       guard    a lease that keeps itself       watch  what changes
    tls      what members are known by
"""

from .belief import Lost
from .guard import Guard
from .outcome import BadCall, Refused, TenureError, Unavailable, Unknown
from .session import Session, connect
from .watch import Event, Watcher

__all__ = [
    "BadCall",
    "Event",
    "Guard",
    "Lost",
    "Refused",
    "Session",
    "TenureError",
    "Unavailable",
    "Unknown",
    "Watcher",
    "connect",
]
__version__ = "0.1.0"
