"""`dialout pause`, `dialout resume` and `dialout stop`: whether a campaign calls anybody."""

from contextlib import closing
from typing import Annotated

import typer

from worker.cli.inputs import open_carrier, open_store
from worker.cli.options import Name, Refused, name_of
from worker.cli.printing import out
from worker.rules.brakes import Brake
from worker.rules.states import CampaignState
from worker.settings import load_settings
from worker.store import Store


def pause(campaign: Name) -> None:
    """Pause a campaign. It places no further call; calls in progress go on."""
    _set_state(open_store(), name_of(campaign), CampaignState.PAUSED, "paused by the operator")


def resume(campaign: Name) -> None:
    """Resume a paused campaign. If a brake paused it, this approves what the brake reported (docs/brakes.md)."""
    store, name = open_store(), name_of(campaign)
    held, _ = store.brakes.holding(name)
    _set_state(store, name, CampaignState.RUNNING, "")
    if held:
        approved = "the first attempts are approved" if held == Brake.CANARY else "it counts from zero again"
        out.print(f"The {held} brake is released: {approved}.")


def stop(
    campaign: Name,
    hang_up: Annotated[bool, typer.Option("--hang-up", help="Also hang up the calls in progress.")] = False,
) -> None:
    """Stop a campaign for good. Contacts that still wait are canceled."""
    store, name = open_store(), name_of(campaign)
    _set_state(store, name, CampaignState.STOPPED, "stopped by the operator")
    if hang_up and (failed := _hang_up(store, name)):
        raise Refused("\n".join(["These calls could not be hung up. Run the command again:", *failed]))


def _set_state(store: Store, name: str, state: CampaignState, why: str) -> None:
    store.campaigns.set_state(name, state, why)
    out.print(f"{name} is {state.value}.")


def _hang_up(store: Store, name: str) -> list[str]:
    """Hang up the calls in progress; returns a sentence for each call that could not be hung up."""
    from worker.telnyx.carrier import CarrierError  # takes a fifth of a second to import

    settings, failed = load_settings(), list[str]()
    settings.require_carrier()
    with closing(open_carrier(settings)) as carrier:
        for attempt_id in store.attempts.live(name):
            case = store.attempts.case(attempt_id)
            if case and case.begun and (sid := case.evidence.call_sid):
                try:
                    carrier.hang_up(sid)
                except CarrierError as error:
                    failed.append(f"{case.phone}: {error}")
    return failed
