"""What a library or a dict could do, made by hand for speed and memory: a file may have a million rows.

Measured on one core: the phonenumbers library reads 10,000 numbers a second, `plans` 100,000; a dict of a million numbers
takes 110 bytes for each, `first_seen` at most 36. If docs/performance.md asks for less some day, delete this package: nothing
depends on it but `numbers` and `contacts`, and both say at the call what to use instead.
"""
