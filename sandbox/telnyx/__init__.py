"""The stand-in for Telnyx: its REST API, its callbacks, its media streams, and the telephone network behind them."""
