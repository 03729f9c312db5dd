"""What a Lua script takes. Its keys and arguments are named once, in Python; the head of its file is generated from that."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

_WIDTH: Final = 118
_UNBROKEN: Final = "\N{NO-BREAK SPACE}"


class ScriptError(TypeError):
    """A script was called with other keys or arguments than it takes: a mistake in the code that calls it."""


@dataclass(frozen=True)
class LuaScript:
    """A script, the names of its keys and arguments, and those of each group of keys and arguments that follow."""

    name: str  # of its file in lua/
    keys: tuple[str, ...] = ()
    args: tuple[str, ...] = ()  # the clock comes before them, in every script
    more_keys: tuple[str, ...] = ()
    more_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.keys, *self.args]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ScriptError(f"{self.name}.lua names {', '.join(twice)} twice")

    def ordered(self, **args: Any) -> list[Any]:
        """Return named arguments in the script's order; raises ScriptError if one is missing or unknown."""
        return self._ordered(self.args, args)

    def more_ordered(self, **args: Any) -> list[Any]:
        """Return one group of further arguments in the script's order; raises ScriptError if one is missing or unknown."""
        return self._ordered(self.more_args, args)

    def _ordered(self, names: tuple[str, ...], args: Mapping[str, Any]) -> list[Any]:
        if len(args) != len(names) or not all(name in args for name in names):
            missing, unknown = sorted(set(names) - args.keys()), sorted(args.keys() - set(names))
            raise ScriptError(f"{self.name}.lua: missing arguments {missing}, unknown arguments {unknown}")
        return [args[name] for name in names]

    def check_more(self, keys: Sequence[str], args: Sequence[Any]) -> None:
        """Raise ScriptError for further keys or arguments that the script does not take."""
        if (keys and not self.more_keys) or (args and not self.more_args):
            raise ScriptError(f"{self.name}.lua takes no keys or arguments but those that it names")

    @property
    def head(self) -> str:
        """The lines of Lua that give the keys and arguments their names. The script's file holds them word for word."""
        lines: list[str] = []
        for table, names, before, more, reader in (
            ("KEYS", self.keys, 0, self.more_keys, "next_keys"),
            ("ARGV", self.args, 1, self.more_args, "next_args"),
        ):
            if names:
                span = ([str(before + 1)] if before or more else []) + ([str(before + len(names))] if more else [])
                call = f"= unpack({', '.join([table, *span])})".replace(" ", _UNBROKEN)
                wrapped = textwrap.wrap(f"local {', '.join(names)} {call}", _WIDTH, subsequent_indent="  ")
                lines += [line.replace(_UNBROKEN, " ") for line in wrapped]
            if more:
                lines.append(f"local {reader} = rest({table}, {before + len(names)}, {len(more)})")
        return "\n".join(lines) + "\n" if lines else ""

    @property
    def body(self) -> str:
        """The text of its file, which begins by naming what the script takes."""
        return read_lua(self.name)


def script(name: str, *, keys: str = "", args: str = "", more_keys: str = "", more_args: str = "") -> LuaScript:
    """Declare a script; the names are separated by spaces."""
    named = (tuple(names.split()) for names in (keys, args, more_keys, more_args))
    return LuaScript(name, *named)


def constant_lines(values: Mapping[str, int | float | str]) -> str:
    """Return the line of Lua that gives every script the constants of Python."""
    words = ", ".join(f"'{value}'" if isinstance(value, str) else repr(value) for value in values.values())
    return f"local {', '.join(values)} = {words}\n"


def read_lua(name: str) -> str:
    """Return the text of a file of lua/."""
    return resources.files("worker.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
