"""A phone network on this machine: stand-ins for Telnyx, OpenAI, Deepgram, Cartesia and Pipecat Cloud, and people.

It imports nothing of the project that it serves: anybody's client may be pointed at it.
"""
