"""The telephone network: the people on it, the calls, the records, and the faults that are switched on."""

import asyncio
import random
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from sandbox.audio import ulaw_decode, write_stereo_wav
from sandbox.people import Town
from sandbox.telnyx import life
from sandbox.telnyx.call import PhoneCall
from sandbox.telnyx.callbacks import Courier
from sandbox.telnyx.faults import CreationFault
from sandbox.telnyx.records import Records


@dataclass
class Net:
    """One telephone network. The HTTP API in front of it is in `app`."""

    town: Town
    records: Records
    courier: Courier
    api_key: str = "KEYsandbox"
    app_id: str = "2000000000000000001"
    numbers: tuple[str, ...] = ("+12125550100",)
    voice_url: str = ""
    voice_fallback_url: str = ""
    app_status_url: str = ""
    static_texml: str = ""
    dials_per_5s: int = 150
    codec: str = "PCMU"  # of the person's voice, if a document asks for none
    jitter_s: float = 0.2
    mute: bool = False  # True: streams open and close but carry no sound, so that there can be many calls
    ring_scale: float = 1.0  # how long a ring lasts, as a share of the time that the request asks for
    list_delay_s: float = 1.0  # a call shows up in the API this long after it was placed
    record_to: Path | None = None
    base_url: str = ""  # our own address, taken from the first request
    update_refuses: str = ""  # "json" or "form": updates of a call in this form are refused
    organization: str = "61bf923e-5e4d-4595-a110-56190ea18a1b"
    calls: dict[str, PhoneCall] = field(default_factory=dict[str, PhoneCall])
    calls_to: defaultdict[str, list[PhoneCall]] = field(default_factory=lambda: defaultdict[str, list[PhoneCall]](list))
    faults: list[CreationFault] = field(default_factory=list[CreationFault])

    def __post_init__(self) -> None:
        self.account = self.organization
        self._rings: dict[str, int] = {}
        self._dials: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.random = random.Random(self.town.seed)  # noqa: S311 - no secret

    def over_limit(self) -> bool:
        """Count a dial; return True if there are too many in the last five seconds."""
        now = asyncio.get_running_loop().time()
        while self._dials and self._dials[0] <= now - 5:
            self._dials.popleft()
        if len(self._dials) >= self.dials_per_5s:
            return True
        self._dials.append(now)
        return False

    def fault(self) -> CreationFault | None:
        """Draw the fault that strikes the next request, if any, and count it."""
        for fault in self.faults:
            if fault.count != 0 and self.random.random() < fault.probability:
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def place(self, to: str, caller_id: str, **details: Any) -> PhoneCall:
        """Place a call, and let it run in the background."""
        far_end = caller_id if details.get("direction") == "inbound" else to
        ring = self._rings[far_end] = self._rings.get(far_end, 0) + 1
        person = details.pop("person", None) or self.town.person(far_end, ring)
        dice = self.town.dice(far_end, ring)
        call = PhoneCall(self, to, caller_id, person, ring, dice, connection_id=self.app_id, **details)
        self.calls[call.sid] = call
        self.calls_to[call.to].append(call)
        task = asyncio.create_task(life.run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call

    def has_ended(self, call: PhoneCall) -> None:
        """Write the recording of a call that is over, if recordings are kept."""
        heard, spoken = call.handset.ear.heard, call.handset.mouth.spoken
        if self.record_to and heard:
            self.record_to.mkdir(parents=True, exist_ok=True)
            tail = re.sub(r"\W", "", call.sid)[-8:]
            name = f"{call.created_at:%Y%m%dT%H%M%S}-{call.person.name}-{tail}.wav"
            write_stereo_wav(self.record_to / name, ulaw_decode(bytes(spoken)), ulaw_decode(bytes(heard)))

    async def close(self) -> None:
        """Hang up all calls, so that the records are complete."""
        for call in self.calls.values():
            call.hang_up("caller")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=3)
        await self.courier.close()


def new_net(*, key: SigningKey, town: Town, records: Records, **details: Any) -> Net:
    """Build a network that signs its callbacks with `key`."""
    return Net(town=town, records=records, courier=Courier(key), **details)
