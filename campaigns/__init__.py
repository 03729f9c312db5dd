"""What to say, to whom, and when: campaigns, contacts, numbers, places. Pure: no network, no clock, no Redis."""
