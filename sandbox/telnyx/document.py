"""Follow a call's TeXML document, verb by verb, as Telnyx does once the call is answered."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import httpx
from defusedxml.ElementTree import fromstring

from sandbox.audio import ulaw_encode
from sandbox.speech import synthesize
from sandbox.telnyx.call import PhoneCall
from sandbox.telnyx.records import timestamp
from sandbox.telnyx.stream import MediaStream

_BRIDGED_S: Final = (3.0, 6.0)
"""How long a person talks with the one they have been put through to: from, to."""


async def follow(call: PhoneCall) -> None:
    """Follow the document to its end; if the call is redirected on the way, follow the new one from its beginning."""
    while True:
        call.redirected.clear()
        following = asyncio.create_task(_follow(call, await _fetch(call)))
        redirected = asyncio.create_task(call.redirected.wait())
        await asyncio.wait({following, redirected}, return_when=asyncio.FIRST_COMPLETED)
        redirected.cancel()
        if not call.redirected.is_set():
            await following
            return
        following.cancel()
        if call.handset.stream:
            await call.handset.stream.stop()


async def _fetch(call: PhoneCall) -> str:
    if call.texml:
        return _filled(call.texml, {})
    form = call.form() | {"CallStatus": "in-progress", "CallingPartyType": "pstn"}
    for url in filter(None, (call.url, call.fallback_url)):
        try:
            answer = await call.net.courier.post(url, form)
            if answer.status_code == 200:
                return _filled(answer.text, form)
            call.record["verbs"].append(f"fetch failed: {answer.status_code}")
        except httpx.HTTPError as error:
            call.record["verbs"].append(f"fetch failed: {type(error).__name__}")
    return ""


def _filled(document: str, form: Mapping[str, str]) -> str:
    # Telnyx takes {{Name}} for a variable, and replaces an unknown one by nothing.
    while (start := document.find("{{")) >= 0 and (end := document.find("}}", start)) >= 0:
        document = document[:start] + form.get(document[start + 2 : end].strip(), "") + document[end + 2 :]
    return document


async def _follow(call: PhoneCall, document: str) -> None:
    try:
        root = fromstring(document)
    except (ParseError, ValueError) as error:
        call.record["verbs"].append(f"unreadable document: {error}")
        return
    for verb in root:
        if call.is_over:
            return
        call.record["verbs"].append(verb.tag)
        if not await _do(call, verb):
            return


async def _do(call: PhoneCall, verb: Element) -> bool:
    """Do one verb; return False if the document ends with it."""
    text = (verb.text or "").strip()
    match verb.tag:
        case "Connect" | "Start":
            await _connect(call, verb)
        case "Pause":
            await asyncio.sleep(float(verb.get("length", "1")))
        case "Say":
            await _say(call, text)
        case "Redirect":
            call.redirect(url=text)
            await asyncio.Event().wait()
        case "Dial":
            number = verb.find("Number")
            await _dial(call, ((number.text if number is not None else None) or text).strip())
        case "Hangup" | "Reject":
            return False
        case _:
            call.record["verbs"].append(f"{verb.tag} is not known here: skipped")
    return True


async def _dial(call: PhoneCall, number: str) -> None:
    """Ring a number of the town; if somebody answers, let the two talk for a while."""
    answers = call.net.town.person(number, 1).ring
    call.record["dial_status"] = "completed" if answers == "answered" else answers
    if answers == "answered":
        call.bridge(number)
        await asyncio.sleep(call.random.uniform(*_BRIDGED_S))
        call.unbridge()


async def _connect(call: PhoneCall, verb: Element) -> None:
    stream = verb.find("Stream")
    if stream is None:
        return
    call.record["stream_attributes"] = dict(stream.attrib)
    if stream.get("bidirectionalMode", "mp3") != "rtp":
        call.record["verbs"].append("Stream: mp3 mode is not played here")
    codec = stream.get("codec", "default")
    codec = codec if codec in {"PCMU", "PCMA"} else call.net.codec
    parameters = {p.get("name", ""): p.get("value", "") for p in stream.iter("Parameter")}
    start = {
        "user_id": call.net.organization,
        "call_control_id": call.sid,
        "call_session_id": call.session,
        "from": call.caller_id,
        "to": call.to,
        "client_state": None,
        "custom_parameters": parameters,
        "media_format": {"encoding": codec, "sample_rate": 8000, "channels": 1},
    }
    call.handset.stream = MediaStream(
        stream.get("url", ""),
        start,
        str(uuid.uuid4()),
        call.handset.ear,
        call.handset.mouth,
        bot_codec=stream.get("bidirectionalCodec", "PCMU"),
        mute=call.net.mute,
    )
    await call.handset.stream.run()


async def _say(call: PhoneCall, text: str) -> None:
    call.record["said"].append({"at": timestamp(), "by": "carrier", "words": text})
    sound = ulaw_encode(synthesize(text, "carrier"))
    call.handset.ear.heard += sound
    await asyncio.sleep(len(sound) / 8000)
