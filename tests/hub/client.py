"""Calls of the registry in processes of their own: one process loads everything, each call is a fork of it.

``python -m hub.client`` reads requests, a JSON object a line: {"do", "with", "options"} starts a call and answers with
its pid, {"wait": pid} answers with its result. What reads the environment at import time reads it once, as it should.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Client:
    """The side of the test: calls that are awaited, started, or killed."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hub.client"],
            env={**environ, "PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{environ.get('PYTHONPATH', '')}"},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask({})  # until it is ready

    def __call__(self, action: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        return self.result(self.start(action, *arguments, **options))

    def start(self, action: str, *arguments: Any, **options: Any) -> int:
        pid: int = self._ask(
            {"do": action, "with": [str(a) if isinstance(a, Path) else a for a in arguments], "options": options}
        )["pid"]
        return pid

    def result(self, pid: int) -> dict[str, Any]:
        found: dict[str, Any] = self._ask({"wait": pid})
        return found

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _pack(opened: Any) -> dict[str, Any]:
    return {
        "digest": opened.pack.digest,
        "path": str(opened.pack.path),
        "files": sorted(opened.pack.files),
        "source": str(opened.source) if opened.source else None,
        "revision": opened.revision,
    }


def _in_little_room(room: int, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The call in a process whose files cannot grow beyond ``room`` bytes, as on a disk that is full."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    return action(*arguments, **options)


def _actions() -> dict[str, Callable[..., Any]]:
    from huggingface_hub import HfApi, snapshot_download

    from ras_ext import registry

    HfApi()  # loads what it needs
    for name in registry.__all__:
        getattr(registry, name)
    __import__("ras_ext.registry.hub_push")
    actions: dict[str, Callable[..., Any]] = {
        "open": lambda name, **options: _pack(registry.locate(name, **options)),
        "pull": lambda name, out=None, **options: _pack(registry.pull(name, out, **options)),
        "push": lambda folder, target, **options: registry.push(folder, target, **options).to_dict(),
        "list": lambda where=None: [entry.to_dict() for entry in registry.list_packs(where)],
        "search": lambda query=None, **options: [entry.to_dict() for entry in registry.search(query, **options)],
        "history": lambda name, **options: [entry.to_dict() for entry in registry.history(name, **options)],
        "snapshot": lambda repo, **options: snapshot_download(repo, **options),
    }
    actions["in_little_room"] = lambda room, action, *rest, **options: _in_little_room(
        room, actions[action], *rest, **options
    )
    return actions


def _call(actions: dict[str, Callable[..., Any]], request: dict[str, Any]) -> dict[str, Any]:
    from ras_ext.registry import RasExtError

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("ras_ext.registry").addHandler(handler)
    try:
        result = actions[request["do"]](*request["with"], **request["options"])
    except RasExtError as error:
        return {"error": type(error).__name__, "message": str(error), "said": said}
    except Exception:
        return {"error": "crash", "message": traceback.format_exc(), "said": said}
    return {**result, "said": said} if isinstance(result, dict) else {"result": result, "said": said}


def _serve() -> None:
    actions = _actions()
    pipes: dict[int, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: Any = {}
        if "do" in request:
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                os.dup2(2, 1)
                with os.fdopen(writing, "w") as stream:
                    json.dump(_call(actions, request), stream)
                os._exit(0)
            os.close(writing)
            pipes[pid] = os.fdopen(reading)
            answer = {"pid": pid}
        elif "wait" in request:
            with pipes.pop(request["wait"]) as stream:
                text = stream.read()
            _, status = os.waitpid(request["wait"], 0)
            answer = {"killed": True} if os.WIFSIGNALED(status) else json.loads(text)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
