"""One attempt's way, from the claim to its conclusion."""
