"""A Hugging Face Hub on loopback, for tests: real HTTP, its own process, commits and files on disk.

It answers what the real client asks when packs are pushed, pulled, listed and tagged, with the statuses, headers and
error codes of the real one; on top, it breaks on demand (:mod:`hub.faults`).
"""
