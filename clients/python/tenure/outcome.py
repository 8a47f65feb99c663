"""The kinds of "no", and what an answer proves about its call, given that other attempts of it may be unanswered. Pure."""

import enum
from typing import Any

from .belief import RHO_PER_MILLE
from .clock import MS


class TenureError(Exception):
    """Every outcome but done."""


class Refused(TenureError):
    """It is decided, and the answer is no; or the call itself is wrong. Trying the same again gives the same."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['code']}: {problem['message']}")
        #: As it came: `code`, `message`, and the code's details (`holder`, `token`, `remaining_ms`, `end`, `revision` …).
        self.problem = problem
        self.code: str = problem["code"]
        self.message: str = problem["message"]

    @property
    def end(self) -> dict[str, Any] | None:
        """How the grant ended: of `lost`, where history knows."""
        return self.problem.get("end")


class BadCall(Refused):
    """The call itself is wrong, as with a name that is too long: `bad_request`, `bad_name`, `bad_ttl`, `too_large`,
    `not_found` or `index_ahead`; `problem["field"]` says where."""


class Unavailable(TenureError):
    """Surely not done; trying again is safe and may help."""


class Unknown(TenureError):
    """It may have happened, or may yet. Never to be rounded to no: repeat it, or look with `get`."""

    def __init__(self, unanswered: int, last: dict[str, Any] | None) -> None:
        said = f" (a later answer said {last['code']}: {last['message']})" if last else ""
        super().__init__(f"{unanswered} of the call's attempts left and had no answer{said}; it may have happened, or may yet")
        #: What the last answer said, where one came: it does not tell about the attempts before.
        self.last = last


REFUSED = frozenset(
    "held cooldown queued stale_token lost ending not_yours full version conflict not_waiting still_held compacted".split()
)
USAGE = frozenset("bad_request bad_name bad_ttl too_large not_found index_ahead".split())
UNAVAILABLE = frozenset("overloaded late behind no_leader draining stopping disk_full disk_stalled".split())
#: Codes that say that the grant is gone.
GONE = frozenset(("lost", "stale_token", "not_yours"))

#: Each call, and the reply that fits it.
ANSWERS = {
    "claim": "granted",
    "acquire": "granted",
    "extend": "granted",
    "release": "released",
    "transfer": "released",
    "revoke": "released ending",
    "wait": "free",
    "watch": "watching",
    "get": "lease",
    "list": "page",
    "count": "counted",
    "history": "ends",
    "check": "checked",
}
#: The calls that change something.
EFFECTS = frozenset(("claim", "acquire", "extend", "release", "transfer", "revoke"))
#: The calls that a member keeps until their time comes, and that are cancelled where nobody wants them any more.
STANDING = frozenset(("acquire", "wait", "watch"))


def refusal(problem: dict[str, Any]) -> Refused:
    """What a decided no is raised as."""
    return (BadCall if problem["code"] in USAGE else Refused)(problem)


class Verdict(enum.Enum):
    """What a reply says about its call."""

    DONE = "done, by this attempt or one before it"
    REFUSED = "decided, and surely no attempt had or will have an effect"
    AGAIN = "this attempt surely did nothing: worth another"
    DOUBT = "not even the server knows about this attempt"
    UNPROVABLE = "this attempt was refused, but one before it may have been done"
    NONSENSE = "a reply that does not fit the call"


def judge(
    verb: str, body: dict[str, Any], reply: dict[str, Any], others_since: int | None, now: int
) -> tuple[Verdict, dict[str, Any]]:
    """Judges `reply` at `now`. `others_since` is when the first other attempt left that has no answer, if any (ns)."""
    problem = reply.get("error")
    if problem is None:
        return fits(verb, body, reply)
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str) or "message" not in problem:
        return Verdict.NONSENSE, {}
    code = problem["code"]
    if code in REFUSED or code in USAGE:
        if others_since is None or verb not in EFFECTS:
            return Verdict.REFUSED, problem
        return refused_repeat(verb, body, problem, now - others_since)
    # A code from the future is as good as no answer.
    return (Verdict.AGAIN if code in UNAVAILABLE or verb not in EFFECTS else Verdict.DOUBT), problem


def fits(verb: str, body: dict[str, Any], reply: dict[str, Any]) -> tuple[Verdict, dict[str, Any]]:
    """Whether the reply is one to this very call: what a claim is granted, about its lease; else about its token."""
    kind, answer = next(iter(reply.items()), ("", None))
    if kind not in ANSWERS[verb].split() or not isinstance(answer, dict):
        return Verdict.NONSENSE, {}
    told = ("namespace", "name") if verb in ("claim", "acquire") else ("token",) if "token" in body else ()
    whole = kind != "granted" or (
        all(type(answer.get(field)) is int for field in ("token", "ttl_ms", "hold_ms", "extend_after_ms"))
        and type(answer.get("confirmed")) is bool
    )
    same = all(str(answer.get(field)) == str(body[field]) for field in told)
    return (Verdict.DONE if whole and same else Verdict.NONSENSE), answer


def refused_repeat(
    verb: str, body: dict[str, Any], problem: dict[str, Any], since_ns: int
) -> tuple[Verdict, dict[str, Any]]:
    """A refusal to a repeat speaks of the state after the attempts before it: "held" may mean by the grant that the first
    attempt won, "lost" by the release that the first attempt was. So it proves nothing, but in these cases."""
    # The same text was wrong the first time too.
    if problem["code"] in ("bad_request", "bad_name", "too_large", "not_found"):
        return Verdict.REFUSED, problem
    end = problem.get("end")
    if end is None or "token" not in body or str(end["token"]) != str(body["token"]):
        return Verdict.UNPROVABLE, problem
    asked = {"release": "released", "transfer": "transferred"}.get(verb)
    if asked is not None:
        # A grant ends once. The end that we asked for is ours; any other means that no attempt of ours did it.
        return (Verdict.DONE, {"token": end["token"]}) if end["why"] == asked else (Verdict.REFUSED, problem)
    # The lease clock may lag ours, but never runs ahead by more than both rates' error: it ended before our first attempt.
    ago_ms = end["ago_ms"] * (1_000 - RHO_PER_MILLE) // (1_000 + RHO_PER_MILLE)
    early = verb == "extend" and ago_ms > since_ns // MS + 1
    return (Verdict.REFUSED if early else Verdict.UNPROVABLE), problem
