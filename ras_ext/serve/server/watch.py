"""Whether the server is defended: the engine lives, and the last self-test was really steered, not long ago."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from ras_ext.errors import RasExtError
from ras_ext.serve.online import AsyncGuard

EVERY = 30.0  # seconds from one self-test to the next
_PATIENCE = 60.0  # seconds that a self-test may take in a busy engine


class Watch:
    """Tests a guard again and again. While the last test failed, nothing is answered.

    Attributes:
        why: what is wrong, None while all is well.
        tested: when the last test passed, seconds since the epoch.
    """

    def __init__(self, guard: AsyncGuard, *, every: float, on_change: Any = None) -> None:
        self._guard, self._every, self._on_change = guard, every, on_change
        self.why: str | None = "no self-test has been made yet"
        self.tested: float | None = None

    @property
    def defended(self) -> bool:
        return self.why is None

    def passed(self) -> None:
        """A self-test was steered just now."""
        self.tested = time.time()
        self._now(None)

    def failed(self, why: str) -> None:
        """Something was not defended: nothing is answered until a self-test passes."""
        self._now(why)

    async def test(self) -> bool:
        """Makes a self-test now; whether the server is defended."""
        try:
            await asyncio.wait_for(self._guard.self_test(), _PATIENCE)
        except asyncio.TimeoutError:
            self.failed(f"the self-test took longer than {_PATIENCE:.0f} seconds")
        except RasExtError as error:
            self.failed(str(error))
        except Exception as error:  # the engine's own errors: whatever it is, nothing was steered
            self.failed(f"the engine failed the self-test ({type(error).__name__}: {error})")
        else:
            self.passed()
        return self.defended

    def _now(self, why: str | None) -> None:
        if why != self.why:
            said = "the server is defended" if why is None else f"THE SERVER IS NOT DEFENDED and answers nothing: {why}"
            sys.stderr.write(f"ras-ext: {said}\n")
            if self._on_change is not None:
                self._on_change(why is None)
        self.why = why

    async def run(self) -> None:
        """Tests for as long as the server lives."""
        while True:
            await asyncio.sleep(self._every)
            await self.test()
