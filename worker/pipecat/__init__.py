"""Everything that knows there is a Pipecat Cloud."""
