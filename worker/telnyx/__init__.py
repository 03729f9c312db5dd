"""Everything that knows there is a Telnyx."""
