"""Measures the bot (`python -m bench.bot --help`) and the dialer (`python -m bench.worker --help`) on this machine."""
