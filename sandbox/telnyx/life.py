"""The life of a call: it rings, a person answers or does not, a document says what happens, and one side hangs up."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.telnyx import document
from sandbox.telnyx.call import PhoneCall
from sandbox.telnyx.detection import detect

_NOT_ANSWERED: Final[Mapping[str, tuple[str, str, str]]] = {
    "busy": ("busy", "user_busy", "486"),
    "no-answer": ("no-answer", "no_answer", "480"),
    "rejected": ("failed", "call_rejected", "603"),
    "not-found": ("failed", "not_found", "404"),
    "unreachable": ("failed", "unspecified", "503"),
}
"""What the network reports about a ring that nobody answers: status, cause, SIP code."""


async def run(call: PhoneCall) -> None:
    """Ring, be answered or not, and end; then send the last callback and write the detail record."""
    try:
        await _live(call)
    except Exception as error:
        call.record["error"] = repr(error)
        call.finish("failed", "unspecified", "500", "caller")
        raise
    finally:
        call.ended.set()
        call.net.has_ended(call)


async def _live(call: PhoneCall) -> None:
    if call.direction == "outbound":
        await asyncio.sleep(0.05)
        call.step("initiated")
        if not await _ring(call):
            return
    call.step("in-progress")
    detecting = asyncio.create_task(by) if (by := _detection(call)) else None
    person = asyncio.create_task(_hold(call))
    following = asyncio.create_task(document.follow(call))
    over = asyncio.create_task(call.over.wait())
    limit = float(call.options.get("TimeLimit") or 14_400)
    done, _ = await asyncio.wait({person, following, over}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        call.hang_up("caller", "time_limit")
    elif person in done and not call.over.is_set():
        call.hang_up("callee")
    else:
        call.hang_up("caller")
    if call.handset.stream:
        await call.handset.stream.stop()
    for task in filter(None, (person, following, over, detecting)):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    call.finish("completed", call.cause, "200", call.source)


async def _ring(call: PhoneCall) -> bool:
    """Ring; return True if the call is answered. Else it has ended."""
    answers = call.person.ring
    await asyncio.sleep(0.1)
    if answers in {"not-found", "unreachable", "rejected", "busy"}:
        if answers in {"rejected", "busy"}:
            call.step("ringing")
            await asyncio.sleep(call.random.uniform(0.2, 0.8))
        call.finish(*_NOT_ANSWERED[answers], "callee")
        return False
    call.step("ringing")
    limit = float(call.options.get("Timeout") or 30) * call.net.ring_scale
    rings = limit if answers == "no-answer" else min(call.random.uniform(*call.person.rings_s), limit)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(call.over.wait(), rings)
    if call.over.is_set():
        call.finish("canceled", "originator_cancel", "487", "caller")
    elif answers == "no-answer":
        call.finish(*_NOT_ANSWERED["no-answer"], "caller")
    return not call.over.is_set()


async def _hold(call: PhoneCall) -> None:
    """Let the person do what their script says."""
    await asyncio.sleep(call.random.uniform(0.2, 0.5))
    if call.person.script:
        await call.person.script(call.handset)


def _detection(call: PhoneCall) -> Coroutine[Any, Any, None] | None:
    url = str(call.options.get("AsyncAmdStatusCallback") or "")
    wanted = str(call.options.get("MachineDetection") or "Disable")
    if not url or wanted == "Disable":
        return None

    def tell(answer: str) -> None:
        after_ms = int((datetime.now(UTC) - call.times["in-progress"]).total_seconds() * 1000)
        form = call.form() | {"AnsweredBy": answer, "MachineDetectionDuration": str(after_ms)}
        call.net.courier.send(url, form, call.record["callbacks"])

    return detect(call.person.answered_by, wanted, call.greeting, tell)
