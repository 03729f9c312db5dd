"""The rules of dialing, pure: no Redis, no carrier, no clock. Every reason for which a phone does not ring is here."""
