"""Measures the bot on a telephone network of this machine: `python -m bench.bot --help`."""
