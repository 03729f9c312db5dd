"""Stand-ins for OpenAI, Deepgram and Cartesia: one ASGI app that speaks their real protocols."""
