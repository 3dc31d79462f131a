"""The Hub's HTTP: who may see and change what, and every route the client uses for model repositories."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub import card
from hub.faults import Fault, Faults
from hub.store import LFS_FROM, POINTER_SIZE, Blob, Commit, Refusal, Store, git_oid

# token → (user, the namespaces they may write to)
TOKENS = {
    "hf_me": ("me", {"me", "team", "ras-ext"}),
    "hf_other": ("other", {"other"}),
    "hf_reader": ("me", set()),
}
MEMBERS = {"me": {"me", "team", "ras-ext"}, "other": {"other"}}
REPO = r"(?P<repo>[^/]+/[^/]+)"
PAGE = 40  # models in one answer of the list


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, folder: Path, port: int) -> None:
        self.store = Store(folder)
        self.faults = Faults()
        self.log: list[dict[str, Any]] = []
        self.turn = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""


def serve(folder: Path, port: int = 0) -> Server:
    """A server that listens, ready for ``serve_forever``."""
    return Server(folder, port)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or headers and body wait for each other for 40 ms
    server: Server
    fault: Fault | None

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """The log is asked for over HTTP."""

    def _handle(self) -> None:
        self.fault = None
        self.sent = 0
        self.body = self._read_body()
        parts = urlsplit(self.path)
        self.route, self.query = parts.path, parse_qs(parts.query)
        if self.route.startswith("/_test/"):
            self._control()
            return
        self.fault = self.server.faults.strike(f"{self.command} {self.path}")
        fault = self.fault
        if fault is not None:
            time.sleep(fault.delay)
            if fault.drop:
                self._cut()
                return
            if fault.status is not None:
                self._answer(fault.status, {"error": "made to fail"}, fault.headers)
                return
        try:
            self._route()
        except Refusal as refusal:
            headers = {"X-Error-Message": refusal.message}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            self._answer(refusal.status, {"error": refusal.message}, headers)

    # Who asks, and for what

    def _user(self) -> tuple[str | None, set[str]]:
        header = self.headers.get("Authorization", "")
        if not header:
            return None, set()
        known = TOKENS.get(header.removeprefix("Bearer "))
        if known is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return known

    def _readable(self, repo: str, files: bool = False) -> dict[str, Any]:
        user, _ = self._user()
        # To a stranger a private repository looks like none at all; the client knows the Hub's bare 401 by its https.
        hidden = Refusal(401, "Invalid username or password.", "RepoNotFound") if user is None else None
        try:
            settings = self.server.store.settings(repo)
        except Refusal as refusal:
            raise hidden or refusal from None
        member = user is not None and repo.split("/")[0] in MEMBERS[user]
        if settings["private"] and not member:
            raise hidden or Refusal(404, "Repository not found", "RepoNotFound")
        if files and settings["gated"] and not member:
            raise Refusal(403 if user else 401, "Access to this model is restricted", "GatedRepo")
        return settings

    def _writable(self, repo: str) -> str:
        user, may = self._user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        if repo.split("/")[0] not in may:
            raise Refusal(403, f"You don't have the rights to change {repo}")
        return user

    # Routes

    def _route(self) -> None:
        for method, pattern, action in ROUTES:
            match = re.fullmatch(pattern, self.route)
            if match and self.command in method.split("|"):
                action(self, **{name: unquote(value) for name, value in match.groupdict().items() if value is not None})
                return
        raise Refusal(404, f"no such route: {self.command} {self.route}")

    def whoami(self) -> None:
        user, may = self._user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name} for name in sorted(MEMBERS[user] - {user})]
        role = "write" if may else "read"
        self._answer(200, {"type": "user", "name": user, "orgs": orgs, "auth": {"accessToken": {"role": role}}})

    def validate_yaml(self) -> None:
        errors, warnings = card.problems(json.loads(self.body)["content"])
        found = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
        self._answer(400 if errors else 200, found)

    def create(self) -> None:
        wanted = json.loads(self.body)
        user, _ = self._user()
        repo = f"{wanted.get('organization') or user}/{wanted['name']}"
        author = self._writable(repo)
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        try:
            self.server.store.create(repo, author, private)
        except Refusal as refusal:
            if refusal.status != 409:
                raise
            self._answer(409, {"error": refusal.message, "url": self._url(repo)})
            return
        self._answer(200, {"url": self._url(repo), "name": repo, "id": repo})

    def delete(self) -> None:
        wanted = json.loads(self.body)
        user, _ = self._user()
        repo = f"{wanted.get('organization') or user}/{wanted['name']}"
        self._writable(repo)
        self.server.store.delete(repo)
        self._answer(200, {})

    def info(self, repo: str, revision: str = "main") -> None:
        settings = self._readable(repo)
        self._answer(200, self._model(repo, settings, self.server.store.resolve(repo, revision), "blobs" in self.query))

    def models(self) -> None:
        user, _ = self._user()
        filters = [tag for entry in self.query.get("filter", []) for tag in entry.split(",")]
        words = " ".join(self.query.get("search", [])).lower().split()
        author = self.query.get("author", [None])[0]
        found = []
        for repo in self.server.store.repos():
            settings = self.server.store.settings(repo)
            if settings["private"] and (user is None or repo.split("/")[0] not in MEMBERS[user]):
                continue
            entry = self._model(repo, settings, self.server.store.resolve(repo, "main"), False)
            fits = all(tag in entry["tags"] for tag in filters) and all(word in repo.lower() for word in words)
            if fits and author in (None, repo.split("/")[0]):
                found.append(entry)
        start = int(self.query.get("cursor", ["0"])[0])
        size = min(PAGE, int(self.query.get("limit", [PAGE])[0]))
        headers = {}
        if start + size < len(found):
            again = re.sub(r"[?&]cursor=\d+", "", self.path)
            mark = "&" if "?" in again else "?"
            headers["Link"] = f'<{self._url(again.lstrip("/"))}{mark}cursor={start + size}>; rel="next"'
        self._answer(200, found[start : start + size], headers)

    def tree(self, repo: str, revision: str) -> None:
        self._readable(repo, files=True)
        commit = self.server.store.resolve(repo, revision)
        self._answer(200, [self._file(name, blob) for name, blob in commit.files.items()])

    def paths_info(self, repo: str, revision: str) -> None:
        self._readable(repo, files=True)
        sent = self.body.decode()
        wanted = json.loads(sent)["paths"] if sent.startswith("{") else parse_qs(sent)["paths"]
        files = self.server.store.resolve(repo, revision).files
        self._answer(200, [self._file(name, files[name]) for name in wanted if name in files])

    def refs(self, repo: str) -> None:
        self._readable(repo)
        store = self.server.store
        self._answer(
            200,
            {
                "branches": _refs(store.refs(repo, "heads"), "refs/heads/"),
                "tags": _refs(store.refs(repo, "tags"), "refs/tags/"),
                "pullRequests": _refs(store.refs(repo, "pr"), "refs/pr/", full=True),
                "converts": [],
            },
        )

    def commits(self, repo: str, revision: str) -> None:
        self._readable(repo)
        log = self.server.store.log(repo, revision)
        self._answer(
            200,
            [
                {
                    "id": commit.sha,
                    "title": commit.title,
                    "message": commit.message,
                    "authors": [{"user": commit.author}],
                    "date": commit.date,
                }
                for commit in log
            ],
        )

    def tag(self, repo: str, revision: str) -> None:
        self._writable(repo)
        self.server.store.tag(repo, json.loads(self.body)["tag"], revision)
        self._answer(200, {})

    def branch(self, repo: str, name: str) -> None:
        self._writable(repo)
        self.server.store.branch(repo, name, json.loads(self.body or b"{}").get("startingPoint", "main"))
        self._answer(200, {})

    def preupload(self, repo: str, revision: str) -> None:
        self._allowed_to_send(repo)
        files = self.server.store.resolve(repo, revision).files
        self._answer(
            200,
            {
                "files": [
                    {
                        "path": entry["path"],
                        "uploadMode": "lfs" if entry["size"] >= LFS_FROM else "regular",
                        "shouldIgnore": False,
                        "oid": (files[entry["path"]].lfs or files[entry["path"]].oid)
                        if entry["path"] in files
                        else None,
                    }
                    for entry in json.loads(self.body)["files"]
                ]
            },
        )

    def lfs_batch(self, repo: str) -> None:
        self._allowed_to_send(repo)
        objects = []
        for entry in json.loads(self.body)["objects"]:
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if not self.server.store.has_lfs(entry["oid"]):
                answer["actions"] = {
                    "upload": {"href": self._url(f"_lfs/{entry['oid']}"), "header": {}},
                    "verify": {"href": self._url("_lfs/verify"), "header": {}},
                }
            objects.append(answer)
        self._answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        self.server.store.put_lfs(oid, self.body)
        self._answer(200, {})

    def lfs_verify(self) -> None:
        if not self.server.store.has_lfs(json.loads(self.body)["oid"]):
            raise Refusal(404, "the object did not arrive")
        self._answer(200, {})

    def lfs_get(self, oid: str) -> None:
        if not self.server.store.has_lfs(oid):
            raise Refusal(404, "no such object")
        self._content((self.server.store.root / "lfs" / oid).read_bytes(), {"ETag": f'"{oid}"'})

    def commit(self, repo: str, revision: str) -> None:
        pull_request = self.query.get("create_pr") == ["1"]
        author = self._allowed_to_send(repo, pull_request)
        header: dict[str, Any] = {}
        add, lfs, remove = {}, {}, []
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                header = value
            elif entry["key"] == "file":
                add[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                lfs[value["path"]] = value["oid"]
            elif entry["key"] == "deletedFile":
                remove.append(value["path"])
            else:
                raise Refusal(400, f"unknown operation {entry['key']}")
        made, number = self.server.store.commit(
            repo,
            revision,
            add,
            lfs,
            remove,
            title=header["summary"],
            message=header.get("description", ""),
            author=author,
            parent=header.get("parentCommit"),
            pull_request=pull_request,
        )
        answer: dict[str, Any] = {
            "success": True,
            "commitOid": made.sha,
            "commitUrl": self._url(f"{repo}/commit/{made.sha}"),
            "hookOutput": "",
        }
        if number is not None:
            answer["pullRequestUrl"] = self._url(f"{repo}/discussions/{number}")
        self._answer(200, answer)

    def file(self, repo: str, revision: str, path: str) -> None:
        self._readable(repo, files=True)
        commit = self.server.store.resolve(repo, revision)
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        blob = commit.files.get(path)
        if blob is None:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        if blob.lfs is not None:
            # The client follows to another host only for the bytes, as to the Hub's CDN.
            elsewhere = self._url(f"_lfs/{blob.lfs}").replace("127.0.0.1", "localhost")
            linked = {"X-Linked-ETag": f'"{blob.lfs}"', "X-Linked-Size": str(blob.size), "Location": elsewhere}
            self._answer(302, b"", {**headers, **linked})
            return
        self._content(self.server.store.blob(repo, blob), {**headers, "ETag": f'"{blob.oid}"'})

    # Answers

    def _allowed_to_send(self, repo: str, pull_request: bool = False) -> str:
        self._readable(repo)
        user, may = self._user()
        # Anybody with a writing token may propose a change to what they can read.
        if user is not None and may and (pull_request or self.query.get("create_pr") == ["1"]):
            return user
        return self._writable(repo)

    def _model(self, repo: str, settings: dict[str, Any], commit: Commit, blobs: bool) -> dict[str, Any]:
        readme = commit.files.get("README.md")
        text = self.server.store.blob(repo, readme).decode() if readme else ""
        tags, data = card.tags_of(text)
        siblings = []
        for name, blob in commit.files.items():
            entry: dict[str, Any] = {"rfilename": name}
            if blobs:
                entry.update(blobId=blob.oid, size=blob.size)
                if blob.lfs:
                    entry["lfs"] = {"sha256": blob.lfs, "size": blob.size, "pointerSize": POINTER_SIZE}
            siblings.append(entry)
        return {
            "_id": git_oid(repo.encode())[:24],
            "id": repo,
            "modelId": repo,
            "author": repo.split("/")[0],
            "sha": commit.sha,
            "private": settings["private"],
            "gated": "manual" if settings["gated"] else False,
            "createdAt": settings["created"],
            "lastModified": commit.date,
            "downloads": settings["downloads"],
            "likes": 0,
            "tags": tags,
            "cardData": data,
            "siblings": siblings,
            **{name: data[name] for name in ("library_name", "pipeline_tag") if isinstance(data.get(name), str)},
        }

    def _file(self, name: str, blob: Blob) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": name, "oid": blob.oid, "size": blob.size}
        if blob.lfs:
            entry["lfs"] = {"oid": blob.lfs, "size": blob.size, "pointerSize": POINTER_SIZE}
        return entry

    def _content(self, data: bytes, headers: dict[str, str]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._answer(200, data, headers)
            return
        start = int(wanted[1])
        end = min(int(wanted[2] or len(data) - 1), len(data) - 1)
        if start >= len(data) or end < start:
            self._answer(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
            return
        self._answer(206, data[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        fault = self.fault
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._remember(status)
        if fault is not None and fault.lost:
            self._cut()
            return
        if fault is not None and fault.wrong_bytes and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value.encode("ascii", "replace").decode())
            if not isinstance(body, bytes):
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is not None and fault.cut_after is not None and len(data) > fault.cut_after:
                self.wfile.write(data[: fault.cut_after])
                self.wfile.flush()
                self._cut()
            elif fault is not None and fault.slow:
                piece = max(fault.slow // 20, 1)
                for start in range(0, len(data), piece):
                    self.wfile.write(data[start : start + piece])
                    self.wfile.flush()
                    time.sleep(0.05)
            else:
                self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _remember(self, status: int) -> None:
        entry = {"method": self.command, "path": self.path, "status": status, "range": self.headers.get("Range")}
        with self.server.turn:
            self.server.log.append(entry)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _url(self, path: str) -> str:
        return f"http://{self.headers['Host']}/{path}"

    # What only tests ask for

    def _control(self) -> None:
        wanted = json.loads(self.body or b"{}")
        server = self.server
        found: Any = {}
        if self.route == "/_test/faults":
            server.faults.add(Fault(**wanted)) if self.command == "POST" else server.faults.clear()
        elif self.route == "/_test/log":
            with server.turn:
                found = list(server.log)
                if self.command == "DELETE":
                    server.log.clear()
        elif self.route == "/_test/settings":
            server.store.change_settings(wanted.pop("repo"), **wanted)
        self._answer_control(found)

    def _answer_control(self, found: Any) -> None:
        data = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _known(blob: Blob | None) -> str | None:
    return None if blob is None else blob.lfs or blob.oid


def _refs(refs: dict[str, str], prefix: str, full: bool = False) -> list[dict[str, str]]:
    return [
        {"name": prefix + name if full else name, "ref": prefix + name, "targetCommit": sha}
        for name, sha in refs.items()
    ]


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("POST", r"/api/validate-yaml", Handler.validate_yaml),
    ("POST", r"/api/repos/create", Handler.create),
    ("DELETE", r"/api/repos/delete", Handler.delete),
    ("GET", r"/api/models", Handler.models),
    ("GET", rf"/api/models/{REPO}", Handler.info),
    ("GET", rf"/api/models/{REPO}/revision/(?P<revision>[^/]+)", Handler.info),
    ("GET", rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)", Handler.tree),
    ("POST", rf"/api/models/{REPO}/paths-info/(?P<revision>[^/]+)", Handler.paths_info),
    ("GET", rf"/api/models/{REPO}/refs", Handler.refs),
    ("GET", rf"/api/models/{REPO}/commits/(?P<revision>[^/]+)", Handler.commits),
    ("POST", rf"/api/models/{REPO}/tag/(?P<revision>[^/]+)", Handler.tag),
    ("POST", rf"/api/models/{REPO}/branch/(?P<name>[^/]+)", Handler.branch),
    ("POST", rf"/api/models/{REPO}/preupload/(?P<revision>[^/]+)", Handler.preupload),
    ("POST", rf"/api/models/{REPO}/commit/(?P<revision>[^/]+)", Handler.commit),
    ("POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("POST", r"/_lfs/verify", Handler.lfs_verify),
    ("PUT", r"/_lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_put),
    ("GET|HEAD", r"/_lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_get),
    ("GET|HEAD", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.file),
]
