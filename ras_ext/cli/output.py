"""What a command says and how it ends: tables for people, or one JSON object on stdout and nothing else there.

A failed run ends with one line on stderr and exit code 1; with ``--json`` stdout then holds ``{"error": "..."}``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

import typer

from ras_ext.sentences import TRACEBACK_VARIABLE, sentence


class Output:
    """Where a command leaves its result and its remarks."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.value: dict[str, Any] | None = None
        self.if_interrupted = ""
        self.code = 0  # with which a run that did its work ends
        # For commands that do not end by themselves: writes a line of JSON at once, where that was asked for.
        self.write_now: Callable[[dict[str, Any]], None] = lambda value: None

    def result(self, value: Mapping[str, Any], show: Callable[[], None]) -> None:
        """The command's outcome: as JSON for programs, else whatever `show` prints."""
        if self.as_json:
            self.value = dict(value)
        else:
            show()

    def note(self, text: str) -> None:
        """A remark on stderr."""
        sys.stderr.write(text + "\n")


@contextmanager
def speaking(as_json: bool) -> Iterator[Output]:
    """Runs a command's work: turns errors into one line and an exit code, and keeps stdout pure under ``--json``."""
    out = Output(as_json)
    with _pure_stdout() if as_json else _as_is() as write:
        out.write_now = write
        try:
            yield out
            if as_json and out.value is not None:
                write(out.value)
            if out.code:
                raise typer.Exit(out.code)
        except (typer.BadParameter, typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            _leave(as_json, write, "interrupted" + (f"; {out.if_interrupted}" if out.if_interrupted else ""), 130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody listens; let the interpreter flush into nothing
            raise typer.Exit(1) from None
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                traceback.print_exc()
            _leave(as_json, write, f"error: {sentence(error, smaller='lower --batch-size')}", 1)


def _leave(as_json: bool, write: Callable[[dict[str, Any]], None], line: str, code: int) -> None:
    sys.stderr.write(line + "\n")
    if as_json:
        write({"error": line.removeprefix("error: ")})
    raise typer.Exit(code) from None


@contextmanager
def _as_is() -> Iterator[Callable[[dict[str, Any]], None]]:
    yield lambda value: None


@contextmanager
def _pure_stdout() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Sends everything that is written to stdout, by Python or by C, to stderr; the yielded function reaches stdout."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield lambda value: _write_all(kept, _to_json(value) + "\n")
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _write_all(descriptor: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _to_json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; both become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
