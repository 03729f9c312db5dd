"""The routes of the callbacks server."""
