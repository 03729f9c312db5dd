"""The audit of a fast rehearsal, by the telephone network's records, the campaign and the file of contacts.

It reckons for itself, and asks neither the rules nor the store: all that it sees of the dialer is `dialout results`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from campaigns import numbers
from campaigns.campaign import WEEKDAYS, Campaign
from worker.rehearsal.fast.odds import PostAnswer
from worker.rehearsal.fast.records import NetworkCall, Post

_TRAILING_S: Final = (1, 5, 60)
"""Lengths (s) of the windows in which the pace is counted, wherever a window begins."""

_SILENCE_S: Final = 2.0
"""How long a person who answers may wait for the bot: no more than two seconds (47 CFR 64.1200(a)(7))."""

_ABANDONED_SHARE: Final = 0.03
"""The greatest share of the people who answer for whom no bot may be warm (47 CFR 64.1200(a)(7))."""

_FITS: Final[Mapping[str, frozenset[str]]] = {
    "busy": frozenset({"busy"}),
    "no-answer": frozenset({"no_answer"}),
    "rejected": frozenset({"rejected"}),
    "invalid": frozenset({"invalid_number"}),
    "canceled": frozenset({"canceled"}),
    "completed": frozenset(
        {"completed", "callback", "do_not_call", "wrong_number", "voicemail", "no_answer", "rejected", "failed"}
    ),
}
"""How a call ended by the network's records -> the dispositions that the dialer may give it."""

_SETTLED: Final = {"busy": "busy", "no-answer": "no_answer", "rejected": "rejected", "canceled": "canceled"}
"""How an unanswered call ended by the network's records -> the disposition by which it is retried."""

_FINAL: Final = frozenset({"completed", "wrong_number", "do_not_call"})
"""The dispositions after which a campaign does not ring a person again."""


@dataclass(frozen=True)
class Allowance:
    """What the account and its numbers may do."""

    calls_per_second: float
    lines: int
    cool_down_s: float = 0.0  # between two calls from one number
    calls_per_caller_id_per_day: int = 0  # 0: any number


@dataclass
class Findings:
    """What was found, one sentence each. The rehearsal has passed if there is none."""

    rung_twice: list[str] = field(default_factory=list)
    outside_the_rules: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waiting: int = 0  # contacts that are due after the last day
    silent: int = 0  # people who answered and waited longer than two seconds for the bot
    cold: int = 0  # those of them for whom no bot was warm
    most_lines: int = 0

    @property
    def sentences(self) -> list[str]:
        """All that was found."""
        return [*self.rung_twice, *self.outside_the_rules, *self.lost, *self.wrong]


def audit(
    campaign: Campaign,
    allowance: Allowance,
    zones: Mapping[str, Sequence[str]],
    *,
    posts: Sequence[Post],
    calls: Sequence[NetworkCall],
    outcomes: Sequence[Mapping[str, Any]],
    approved_ms: int | None = None,
) -> Findings:
    """Judge a rehearsal that is over.

    `zones`: number -> the zones that its contact may be in. `outcomes`: the rows of `dialout results`. `approved_ms`:
    when the operator let the campaign go on after its canary (Unix time), None if never.
    """
    findings = Findings()
    rung = sorted((call for call in calls if not call.inbound), key=lambda call: call.created_ms)
    theirs = [call for call in calls if call.inbound]
    _posts_are_single(posts, findings)
    _posts_are_allowed(campaign, zones, posts, [*rung, *theirs], findings)
    _numbers_rest(campaign, rung, theirs, findings)
    _pace_is_kept(min(campaign.pacing.calls_per_second, allowance.calls_per_second), posts, findings)
    spent = sorted((post for post in posts if post.answer is not PostAnswer.BUSY), key=lambda post: post.at_ms)
    _canary_is_awaited(campaign.brakes.canary, spent, approved_ms, findings)
    _day_is_kept(campaign, spent, findings)
    _caller_ids_rest(allowance, spent, findings)
    _lines_are_kept(min(campaign.pacing.lines, allowance.lines), rung, findings)
    _nobody_is_lost(zones, outcomes, findings)
    _outcomes_fit(posts, rung, theirs, outcomes, findings)
    _nobody_is_greeted_by_silence([call for call in calls if call.answered_ms], findings)
    return findings


def local(at_ms: int, zone: str) -> datetime:
    """Return an instant of Unix time (ms) as local time in a zone."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))


def _posts_are_single(posts: Sequence[Post], findings: Findings) -> None:
    last: dict[str, Post] = {}
    for post in posts:
        before = last.get(post.attempt_id)
        if before and before.answer is not PostAnswer.BUSY:
            findings.rung_twice.append(f"{_who(post.to)}: one attempt was sent again after it was {before.answer}")
        last[post.attempt_id] = post


def _posts_are_allowed(
    campaign: Campaign,
    zones: Mapping[str, Sequence[str]],
    posts: Sequence[Post],
    calls: Sequence[NetworkCall],
    findings: Findings,
) -> None:
    window = campaign.calling_window
    made: dict[str, int] = defaultdict(int)
    opted_out = {call.number: call.opted_out_ms for call in calls if call.opted_out_ms}
    for post in posts:
        who = _who(post.to)
        if post.to not in zones:
            findings.outside_the_rules.append(f"{who} is in no file, and was rung")
            continue
        for zone in zones[post.to]:
            at = local(post.at_ms, zone)
            if not window.start <= at.time() < window.end or WEEKDAYS[at.weekday()] not in window.weekdays:
                findings.outside_the_rules.append(f"{who} was rung on {at:%a %Y-%m-%d at %H:%M:%S %Z}")
        if opted_out.get(post.to, post.at_ms) < post.at_ms:
            findings.outside_the_rules.append(f"{who} had asked not to be called again, and was rung")
        made[post.to] += post.answer is not PostAnswer.BUSY
    asked_back = {call.number for call in calls if call.wanted_ms}  # one more attempt, as docs/rules.md says
    for number, times in made.items():
        if times > campaign.retry.max_attempts + (number in asked_back):
            findings.outside_the_rules.append(f"{_who(number)} was rung {times} times")


def _numbers_rest(
    campaign: Campaign, rung: Sequence[NetworkCall], theirs: Sequence[NetworkCall], findings: Findings
) -> None:
    retry = {name: waits for name, waits in campaign.retry.model_dump().items() if isinstance(waits, tuple)}
    shortest = min((min(waits) for waits in retry.values() if waits), default=timedelta())
    by_number: dict[str, list[NetworkCall]] = defaultdict(list)
    for call in rung:
        by_number[call.number].append(call)
    rang_us: dict[str, list[NetworkCall]] = defaultdict(list)
    for call in theirs:
        rang_us[call.number].append(call)
    for number, calls in by_number.items():
        who = _who(number)
        for earlier, later in pairwise(calls):
            if not earlier.ended_ms or later.created_ms < earlier.ended_ms:
                findings.rung_twice.append(f"{who} was rung while a call to them went on")
                continue
            between = [call for call in rang_us[number] if earlier.ended_ms <= call.ended_ms < later.created_ms]
            since = [earlier, *between]
            if final := next((call.says for call in since if call.says in _FINAL), ""):
                findings.outside_the_rules.append(f"{who} was rung again after {final}")
            if wanted := since[-1].wanted_ms:
                if later.created_ms < wanted:
                    findings.outside_the_rules.append(
                        f"{who} was rung {(wanted - later.created_ms) / 1000:.0f} s too soon"
                    )
                continue
            ended = earlier.says or _SETTLED.get(earlier.status, "")
            least = min(retry.get(ended, (shortest,)), default=None)
            rest = timedelta(milliseconds=later.created_ms - earlier.ended_ms)
            if least is None:
                findings.outside_the_rules.append(f"{who} was rung again after {ended}, which is not to be retried")
            elif rest < least:
                findings.outside_the_rules.append(f"{who} was rung again {rest} after {ended}, and not {least}")


def _pace_is_kept(calls_per_second: float, posts: Sequence[Post], findings: Findings) -> None:
    times = sorted(post.at_ms for post in posts)
    for seconds in _TRAILING_S:
        allowed = math.ceil(seconds * calls_per_second)
        for first, last in zip(times, times[allowed:], strict=False):
            if last - first < seconds * 1000:
                at = local(last, "UTC")
                findings.outside_the_rules.append(
                    f"more than {allowed} requests in {seconds} s until {at:%m-%d %H:%M:%S}"
                )
                break


def _canary_is_awaited(canary: int, spent: Sequence[Post], approved_ms: int | None, findings: Findings) -> None:
    early = sum(approved_ms is None or post.at_ms < approved_ms for post in spent)
    if canary and early > canary:
        findings.outside_the_rules.append(f"{early} contacts were rung before the canary of {canary} was approved")


def _day_is_kept(campaign: Campaign, spent: Sequence[Post], findings: Findings) -> None:
    allowed = campaign.pacing.calls_per_day
    for day, times in Counter(local(post.at_ms, campaign.day_zone).date() for post in spent).items():
        if allowed and times > allowed:
            findings.outside_the_rules.append(f"{times} calls on {day}, and {allowed} are allowed")


def _caller_ids_rest(allowance: Allowance, spent: Sequence[Post], findings: Findings) -> None:
    by_number: dict[str, list[Post]] = defaultdict(list)
    for post in spent:
        by_number[post.caller_id].append(post)
    for number, posts in by_number.items():
        if any(later.at_ms - earlier.at_ms < allowance.cool_down_s * 1000 for earlier, later in pairwise(posts)):
            findings.outside_the_rules.append(f"{number} rang again before {allowance.cool_down_s:g} s were over")
        zones = numbers.zones(number)
        days = Counter(local(post.at_ms, zones[0] if len(zones) == 1 else "UTC").date() for post in posts)
        if allowance.calls_per_caller_id_per_day and max(days.values()) > allowance.calls_per_caller_id_per_day:
            findings.outside_the_rules.append(f"{number} rang {max(days.values())} times in a day")


def _lines_are_kept(lines: int, rung: Sequence[NetworkCall], findings: Findings) -> None:
    steps = sorted([(call.created_ms, 1) for call in rung] + [(call.ended_ms, -1) for call in rung if call.ended_ms])
    held = 0
    for _, step in steps:  # at the same instant, ends sort before beginnings
        held += step
        findings.most_lines = max(findings.most_lines, held)
    if findings.most_lines > lines:
        findings.outside_the_rules.append(f"{findings.most_lines} calls went on at once, and there are {lines} lines")


def _nobody_is_greeted_by_silence(answered: Sequence[NetworkCall], findings: Findings) -> None:
    silent = [call for call in answered if ((call.joined_ms or call.ended_ms) - call.answered_ms) / 1000 > _SILENCE_S]
    findings.silent, findings.cold = len(silent), sum(call.cold for call in silent)
    if findings.cold > _ABANDONED_SHARE * len(answered):
        findings.outside_the_rules.append(f"no bot was warm for {findings.cold} of the {len(answered)} who answered")


def _nobody_is_lost(
    zones: Mapping[str, Sequence[str]], outcomes: Sequence[Mapping[str, Any]], findings: Findings
) -> None:
    states = {row["phone"]: row["state"] for row in outcomes}
    for number in zones:
        state = states.get(number, "in no result")
        if state == "due":
            findings.waiting += 1
        elif state not in {"done", "refused"}:
            findings.lost.append(f"{_who(number)} has no outcome: {state}")
    findings.lost += [f"{_who(row['phone'])} has no disposition" for row in outcomes if _unsettled(row)]


def _unsettled(row: Mapping[str, Any]) -> bool:
    return row["state"] in {"done", "refused"} and not row["disposition"]


def _outcomes_fit(
    posts: Sequence[Post],
    rung: Sequence[NetworkCall],
    theirs: Sequence[NetworkCall],
    outcomes: Sequence[Mapping[str, Any]],
    findings: Findings,
) -> None:
    spent: dict[str, int] = defaultdict(int)
    for post in posts:
        spent[post.to] += post.answer is not PostAnswer.BUSY
    last = {call.number: call for call in rung}
    talked = {call.number: call for call in theirs if call.answered_ms}
    newest = {post.to: post for post in posts if post.answer is not PostAnswer.BUSY}
    for row in outcomes:
        number, who = row["phone"], _who(row["phone"])
        if row["attempts"] != spent[number]:
            findings.wrong.append(
                f"{who}: {row['attempts']} attempts by the dialer's records, {spent[number]} by the network's"
            )
        call = last.get(number)
        if row["state"] != "done" or call is None or number in talked:
            continue
        if newest[number].call_sid != call.call_sid:
            continue  # the last attempt rang nobody
        if row["disposition"] not in _FITS[call.status]:
            findings.wrong.append(
                f"{who}: the network says {call.status}, the dialer {row['disposition']} ({row['reason']})"
            )
        elif call.says and call.says != row["disposition"]:
            findings.wrong.append(f"{who}: the bot reported {call.says}, the dialer says {row['disposition']}")


def _who(number: str) -> str:
    return f"{number[:5]}…{number[-2:]}"
