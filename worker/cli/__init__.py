"""The `dialout` command: what an operator types, one file a command."""
