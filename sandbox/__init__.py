"""A phone network on this machine: stand-ins for Telnyx, OpenAI, Deepgram, Cartesia and Pipecat Cloud, and people to call.

It imports nothing of the rest of this repository, so any client of these services can be pointed at it.
"""
