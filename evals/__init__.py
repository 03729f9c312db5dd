"""Evals: scripted conversations with the bot, a file of them beside each campaign. `python -m evals --help`."""
