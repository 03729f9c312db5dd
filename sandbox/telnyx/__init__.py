"""The Telnyx stand-in: its REST API, its callbacks, its media streams, and the telephone network behind them."""
