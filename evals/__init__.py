"""Evals: scripted conversations with the bot. Each campaign has its own file of them. `python -m evals --help`."""
