"""One attempt's way, from the claim to its conclusion: bids, dial, leave, asking, concluding, and what they need."""
