"""The access log: one line of JSON per request, and in it no word of what was asked, seen or answered."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from ras_ext.errors import InputError
from ras_ext.serve.server.reasons import a_word

_LONGEST = 200  # characters of what clients may choose, such as the id of a request


@dataclass(frozen=True)
class AccessEntry:
    """What is written down about one request; None where it did not come so far.

    Attributes:
        risky: the policy's threshold ``log`` is reached: the line is a warning.
        error: why it failed, in one word (:func:`ras_ext.serve.server.reasons.reason_of`).
        text: prompt, visual context, answer and message of the error by name, written only where that was asked for.
    """

    request_id: str
    tenant: str | None = None
    pack: str | None = None
    revision: str | None = None
    action: str | None = None
    risk: float | None = None
    similarity: float | None = None
    risky: bool = False
    steered_tokens: int = 0
    status: int = 200
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    text: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, *, with_text: bool = False) -> dict[str, Any]:
        """As plain values for JSON, which knows no NaN."""
        found: dict[str, Any] = {
            "level": "warning" if self.risky or self.status >= 500 else "info",
            "request_id": self.request_id[:_LONGEST],
            "tenant": self.tenant,
            "pack": self.pack,
            "revision": self.revision,
            "action": self.action,
            "risk": _finite(self.risk),
            "similarity": _finite(self.similarity),
            "steered_tokens": self.steered_tokens,
            "status": self.status,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "seconds": {stage: _finite(seconds) for stage, seconds in self.seconds.items()},
            "error": None if self.error is None else a_word(self.error),
        }
        return {**found, "text": dict(self.text)} if with_text else found


class AccessLog:
    """Writes entries to a file, at its end, or to a stream; from any thread, and from several processes to one file.

    A line that cannot be written is counted in :attr:`failed`, and the first of them said on stderr: no request fails
    for it.

    Args:
        to: a file, made where there is none, readable by its owner and group; a stream; None for standard output.
        with_text: write down prompts, visual contexts, answers and error messages too.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, to: str | Path | TextIO | None = None, *, with_text: bool = False) -> None:
        self.with_text = with_text
        self.failed = 0
        self._lock = threading.Lock()
        self._torn = False
        self._file: int | None = None
        self._stream: TextIO | None = None
        if isinstance(to, (str, Path)):
            self._file, self._name = _opened(to), str(to)
        else:
            self._stream = sys.stdout if to is None else to
            self._name = str(getattr(self._stream, "name", "a stream"))

    def write(self, entry: AccessEntry) -> bool:
        """Writes one line; False if that was not possible. Never raises for it."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        with self._lock:
            try:
                # ASCII: a line end or a terminal command in an id stays an escape.
                line = json.dumps({"time": now, **entry.to_dict(with_text=self.with_text)}, allow_nan=False)
                self._append(line + "\n")
            except (OSError, ValueError, TypeError) as error:  # a closed stream raises ValueError
                self.failed += 1
                if self.failed == 1:
                    _say(f"ras-ext: the access log {self._name} cannot be written ({error}); requests go on without")
                return False
        return True

    def close(self) -> None:
        """Closes the file; a stream is whoever's it was."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _append(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write(line)
            self._stream.flush()
            return
        if self._file is None:
            raise ValueError("it is closed")
        data = line.encode("ascii")
        whole = b"\n" + data if self._torn else data
        written = os.write(self._file, whole)  # one call, so that lines of several processes stay whole
        if written < len(whole):
            self._torn = written > 0 or self._torn
            raise OSError("no space left for the whole line")
        self._torn = False


def _opened(path: str | Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise InputError(
            f"the access log {path} cannot be opened ({error.strerror}); give a file in a folder that can be written to"
        ) from None


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 6)


def _say(sentence: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # stderr may be gone as well
        print(sentence, file=sys.stderr, flush=True)
