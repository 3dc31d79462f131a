"""A studio spoken to without its page, as somebody would who means it ill: events and uploads by plain HTTP."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx", reason="httpx comes with Gradio; make test-studio runs this")

FILE = {"_type": "gradio.FileData"}


class Wire:
    """One visitor of the studio at `url`."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False, **settings)
        self.visitor = secrets.token_hex(6)
        self._config: dict[str, Any] = {}

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def event(self, label: str, name: str) -> int:
        """The number of what the page does when that happens to the widget of that label."""
        self._config = self._config or self.http.get("/config").raise_for_status().json()
        labels = {one["id"]: one["props"].get("label") for one in self._config["components"]}
        return next(
            event["id"]
            for event in self._config["dependencies"]
            for widget, what in event["targets"]
            if what == name and labels.get(widget) == label
        )

    def send(self, name: str, content: bytes) -> str:
        """Uploads a file; where it lies."""
        (path,) = self.http.post("/gradio_api/upload", files={"files": (name, content)}).raise_for_status().json()
        return path

    def join(self, event: int, data: list[Any]) -> httpx.Response:
        """Asks for an event to be handled."""
        body = {"data": data, "fn_index": event, "session_hash": self.visitor, "event_data": None, "trigger_id": None}
        return self.http.post("/gradio_api/queue/join", json=body)

    def outcome(self) -> dict[str, Any]:
        """What the event came to."""
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.visitor}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and (said := json.loads(line[5:]))["msg"] == "process_completed":
                    return said
        raise AssertionError("the studio ended the stream without an outcome")


def file(path: str | Path, **more: Any) -> dict[str, Any]:
    """A file as the page names it."""
    return {"path": str(path), "meta": FILE, **more}
