"""The chaos harness: the real processes, a hostile world, and an auditor who believes nobody but the telephone network."""
