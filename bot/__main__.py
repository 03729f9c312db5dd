"""Run the agent under Pipecat's development runner: `python -m bot --help`. Needs `pip install pipecat-ai[runner]`."""

import sys

from bot import bot  # noqa: F401 - the runner looks for it in this module


def main() -> int:
    """Hand over to the runner, if it is installed."""
    try:
        from pipecat.runner.run import main as run
    except ImportError as error:
        sys.stderr.write(f"Pipecat's development runner is not installed ({error}): pip install 'pipecat-ai[runner]'\n")
        return 1
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
