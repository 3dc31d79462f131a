"""Ways to break: each is a rule that answers matching requests, a number of times, after letting some through.

match    regular expression on "GET /path?query"
times    how often it strikes (default 1);  skip: how many matching requests pass first
status   answer with this status (and ``headers``) instead
cut_after  send so many bytes of the body, then cut the connection;  slow: bytes a second
delay    seconds before the answer;  drop: cut the connection instead of answering
lost     do the work, then cut the connection;  wrong_bytes: change the first byte of the body
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    match: str
    times: int = 1
    skip: int = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    slow: int | None = None
    delay: float = 0.0
    drop: bool = False
    lost: bool = False
    wrong_bytes: bool = False


class Faults:
    """The rules in force; thread-safe."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._turn = threading.Lock()

    def add(self, rule: Fault) -> None:
        with self._turn:
            self._rules.append(rule)

    def clear(self) -> None:
        with self._turn:
            self._rules.clear()

    def strike(self, request: str) -> Fault | None:
        """The rule that this request falls under, if any."""
        with self._turn:
            for rule in self._rules:
                if rule.times > 0 and re.search(rule.match, request):
                    if rule.skip > 0:
                        rule.skip -= 1
                        continue
                    rule.times -= 1
                    return rule
        return None
