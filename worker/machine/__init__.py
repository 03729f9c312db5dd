"""This machine: its clock, its processes, an embedded Redis."""
