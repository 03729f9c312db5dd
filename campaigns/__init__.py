"""The vocabulary: what to say, to whom, when. Pure: no network, no clock, no Redis."""
