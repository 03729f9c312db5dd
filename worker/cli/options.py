"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

Folder = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="The campaign's folder.")]
File = Annotated[Path, typer.Argument(metavar="CONTACTS", help="A CSV file with a column named phone.")]
Name = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name, or its folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Rejects = Annotated[
    Path | None, typer.Option("--rejects", help="Write refused rows to this file, with a column named reason.")
]
Region = Annotated[str, typer.Option(help="The country of a number that is written without +.")]

PLAIN: Final[dict[str, Any]] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # rich takes twice as long to import as typer itself
}
"""The options of every Typer."""

SAMPLE: Final = Path(__file__).parents[2] / "campaigns" / "appointment_reminder"


class Refused(Exception):
    """The command cannot be carried out. The message says why, and what to do about it."""


def name_of(campaign: str) -> str:
    """Return the name of a campaign that may have been given as its folder."""
    return campaign.rstrip("/").rpartition("/")[2]
