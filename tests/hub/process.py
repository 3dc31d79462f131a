"""The loopback Hub as a process of its own, as tests hold it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

# Proxies and the settings of whoever runs the tests stay outside.
KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV", "MPLCONFIGDIR")
REPOSITORY = Path(__file__).resolve().parents[2]


class Hub:
    """A running Hub; ``kill`` is the power cut, ``start`` brings it back with what was on its disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Hub:
        self.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hub", str(self.folder), "--port", port],
            cwd=Path(__file__).resolve().parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def environ(self, folder: Path, token: str | None = "hf_me", **more: str) -> dict[str, str]:
        """The environment of a client that knows this Hub only, with a cache of its own in ``folder``."""
        settings = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(folder / "hf"),
            "HOME": str(folder),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": str(REPOSITORY),
            **({"HF_TOKEN": token} if token else {}),
            **more,
        }
        return {**{name: os.environ[name] for name in KEPT if name in os.environ}, **settings}

    def api(self, token: str | bool = "hf_me") -> Any:
        """The real client, in this process, for what a test sets up or looks at."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.url, token=token)

    def fault(self, match: str, **rule: Any) -> None:
        self._ask("POST", "faults", {"match": match, **rule})

    def heal(self) -> None:
        self._ask("DELETE", "faults")

    def settings(self, repo: str, **changes: Any) -> None:
        self._ask("POST", "settings", {"repo": repo, **changes})

    def log(self) -> list[dict[str, Any]]:
        """What was asked, as method, path, status and range, since the last ``forget``."""
        found: list[dict[str, Any]] = self._ask("GET", "log")
        return found

    def forget(self) -> None:
        self._ask("DELETE", "log")

    def _ask(self, method: str, route: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_test/{route}", data, method=method)
        # Proxies of the machine do not concern a server on loopback.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())
