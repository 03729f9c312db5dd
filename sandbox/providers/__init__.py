"""Stand-ins for OpenAI, Deepgram and Cartesia, over their real wire protocols, in one ASGI app."""
