"""Everything that knows there is a Telnyx: carrier and fence, order, reading, refusals, codes, signature, texml."""
