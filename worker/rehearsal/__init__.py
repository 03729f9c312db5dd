"""Campaigns rehearsed on this machine: live against the sandbox, or fast on a clock that jumps."""
