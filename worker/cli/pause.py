"""`dialout pause`, `dialout resume` and `dialout stop`: whether a campaign rings."""

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
    """Hold a campaign. Takes effect on the very next dial; calls under way go on."""
    _set_state(open_store(), name_of(campaign), CampaignState.PAUSED, "paused by the operator")


def resume(campaign: Name) -> None:
    """Let a paused campaign ring again. This approves what its brakes have shown you (docs/brakes.md)."""
    store, name = open_store(), name_of(campaign)
    held, _ = store.brakes.holding(name)
    _set_state(store, name, CampaignState.RUNNING, "")
    if held:
        approved = "its first attempts are approved" if held == Brake.CANARY else "attempts are counted anew"
        out.print(f"The brake {held} is released: {approved}.")


def stop(
    campaign: Name, hang_up: Annotated[bool, typer.Option("--hang-up", help="End the calls under way too.")] = False
) -> None:
    """End a campaign for good: who was not rung yet is canceled."""
    store, name = open_store(), name_of(campaign)
    _set_state(store, name, CampaignState.STOPPED, "stopped by the operator")
    if hang_up and (failed := _hang_up(store, name)):
        raise Refused("\n".join(["These calls could not be ended; say it again:", *failed]))


def _set_state(store: Store, name: str, state: CampaignState, why: str) -> None:
    store.campaigns.set_state(name, state, why)
    out.print(f"{name} is {state.value}.")


def _hang_up(store: Store, name: str) -> list[str]:
    """End the calls under way; returns a sentence for each that could not be ended."""
    from worker.telnyx.carrier import CarrierError  # takes most of a second to import

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
