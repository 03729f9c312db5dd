"""Who is calling, and that it is a machine: the templates are searched for both before anybody is rung."""

import re
from typing import Final

from campaigns.templates import Templates, syntax_problem, variables_of

DISCLOSURES: Final = {
    "en": ("automated", "virtual", "artificial", "ai", "assistant"),
    "de": ("automatisch", "automatisierte", "ki", "virtuelle", "assistent", "assistentin"),
    "es": ("automatizado", "automatizada", "automático", "automática", "ia", "virtual", "asistente"),
    "fr": ("automatisé", "automatisée", "automatique", "ia", "virtuel", "virtuelle", "assistant", "assistante"),
}
"""The first sentence must have one of these words, so that the person knows that no human speaks (EU AI Act, art. 50(1))."""

NOTICES: Final = {"en": "This call is recorded."}
"""What people hear about a recording if the campaign has no sentence of its own. In many places, all parties must agree."""

_FIRST_WORDS: Final = ("greeting", "screening", "inbound_greeting", "unknown_greeting")


def problems(templates: Templates, *, language: str, business_name: str, callback_number: str) -> list[str]:
    """Return one sentence for each thing that the templates fail to say, or use but may not; empty if all is well."""
    texts: dict[str, str] = templates.model_dump()
    broken = [f"{name}.j2: {problem}" for name, text in texts.items() if (problem := syntax_problem(text))]
    if broken:
        return broken
    found: list[str] = []
    for name in _FIRST_WORDS:
        if name == "screening" and not texts[name].strip():
            continue  # a call screen then hears the greeting
        default = Templates.model_fields[name].default
        if language != "en" and texts[name] == default:
            found.append(f"{name}.j2: this template is missing, and its default is English: write it in {language!r}")
        else:
            found += [f"{name}.j2: {told}" for told in _unsaid(texts[name], language, business_name)]
    voicemail = texts["voicemail"]
    says_number = "campaign.callback_number" in voicemail or callback_number[-7:] in re.sub(r"\D", "", voicemail)
    if voicemail.strip() and not says_number:
        found.append(f"voicemail.j2: the message must say the number to call back: {callback_number}")
    for name in ("unknown_greeting", "unknown_instructions"):
        if used := sorted(variables_of(texts[name]) - {"campaign"}):
            found.append(
                f"{name}.j2: we know nothing about this caller, so the template may use only campaign, not {used[0]}"
            )
    return found


def _unsaid(text: str, language: str, business_name: str) -> list[str]:
    unsaid: list[str] = []
    if business_name not in text and "campaign.business_name" not in text:
        unsaid.append(f"the first words must name the business: {business_name}")
    words = set(re.findall(r"\w+", text.lower()))
    if language in DISCLOSURES and not words.intersection(DISCLOSURES[language]):
        told = ", ".join(DISCLOSURES[language][:3])
        unsaid.append(f"the first words must say that this is an automated call (a word like {told})")
    return unsaid
