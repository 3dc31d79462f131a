"""Sixty-four clients at once, each with a pack, a strength and habits of its own: every answer is its answer alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from served import Server, conversation, start

from ras_ext.items import Item

CLIENTS = 64
EACH = 8  # requests of one client
MODEL = "builtin:organism"
# Keys of the tenants, and what each one is.
TENANTS: dict[str, dict[str, Any]] = {
    "first": {"vectors": [MODEL]},
    "paper": {},
    "strong": {"vectors": [MODEL], "strength": {"default": 1.0, "min": 1.0, "max": 1.5}},
    "weak": {"vectors": [MODEL], "strength": {"default": 0.5, "min": 0.5, "max": 1.0}},
    "block": {"vectors": [MODEL], "thresholds": {"block": 0.5}},
    "off": {"mode": "off"},
}


@dataclass(frozen=True)
class Ask:
    """One request of one tenant."""

    tenant: str
    item: Item
    long: bool = False
    strength: float | None = None

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"model": MODEL, "messages": conversation(self.item, as_url=True), "temperature": 0}
        body |= {"max_tokens": 96, "ignore_eos": True} if self.long else {"max_tokens": 24}
        return body | ({} if self.strength is None else {"ras": {"strength": self.strength}})

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer key-of-{self.tenant}"}


@dataclass(frozen=True)
class Heard:
    """What came back of it."""

    text: str
    action: str
    risk: float
    pack: str
    steered: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, organism: Any) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("traffic")
    paper = folder / "paper-pack"
    organism.vectors.with_schedule("paper").save(paper)
    tenants = {
        name: {"keys_sha256": [hashlib.sha256(f"key-of-{name}".encode()).hexdigest()], **settings}
        for name, settings in TENANTS.items()
    }
    tenants["paper"]["vectors"] = [str(paper)]
    (folder / "policy.json").write_text(json.dumps({"tenants": tenants}))
    packs = ["--vectors", MODEL, "--vectors", str(paper), "--policy", str(folder / "policy.json")]
    (folder / "admin.key").write_text("admin")
    files = ["--access-log", str(folder / "access.jsonl"), "--admin-key-file", str(folder / "admin.key")]
    # A cache that is soon used all over: what is grown after that is no first touch of its pages.
    found = start(folder, *packs, *files, "--max-num-seqs", "64", "--num-gpu-blocks-override", "640")
    yield found
    found.stop()


def requests_of(client: int, items: list[Item]) -> list[Ask]:
    """What a client asks, the same in every run."""
    rng = random.Random(client)
    tenant = list(TENANTS)[client % len(TENANTS)]
    strength = {"strong": 1.5, "weak": 0.75}.get(tenant)
    return [Ask(tenant, rng.choice(items), rng.random() < 0.15, strength) for _ in range(EACH)]


async def answered(http: httpx.AsyncClient, ask: Ask) -> Heard:
    found = await http.post("/v1/chat/completions", json=ask.body(), headers=ask.headers())
    assert found.status_code == 200, found.text
    value = found.json()
    ras = value["ras"]
    return Heard(value["choices"][0]["message"]["content"], ras["action"], ras["risk"], ras["pack"], len(ras["dose"]))


async def given_up(http: httpx.AsyncClient, ask: Ask, rng: random.Random) -> None:
    """Begins a request and leaves: while it is judged, or after a few chunks of its answer."""
    body = {**ask.body(), "stream": True, "ignore_eos": True, "max_tokens": 96}
    try:
        async with asyncio.timeout(rng.uniform(0.01, 0.6)):
            async with http.stream("POST", "/v1/chat/completions", json=body, headers=ask.headers()) as stream:
                async for _ in stream.aiter_lines():
                    if rng.random() < 0.3:
                        return
    except TimeoutError:
        return


def http_to(server: Server) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    return httpx.AsyncClient(base_url=server.url, timeout=300, limits=limits)


@pytest.fixture(scope="module")
def alone(server: Server, items: list[Item]) -> dict[Ask, Heard]:
    """Every request's answer when nobody else asks."""

    async def one_by_one() -> dict[Ask, Heard]:
        async with http_to(server) as http:
            asks = {ask for client in range(CLIENTS) for ask in requests_of(client, items)}
            return {ask: await answered(http, ask) for ask in sorted(asks, key=repr)}

    return asyncio.run(one_by_one())


def test_every_answer_of_a_crowd_is_its_answer_alone(
    server: Server, items: list[Item], alone: dict[Ask, Heard]
) -> None:
    async def client(http: httpx.AsyncClient, number: int) -> list[tuple[Ask, Heard]]:
        rng, found = random.Random(-number), []
        for ask in requests_of(number, items):
            if rng.random() < 0.25:
                await given_up(http, ask, rng)
            found.append((ask, await answered(http, ask)))
        return found

    async def crowd() -> list[list[tuple[Ask, Heard]]]:
        async with http_to(server) as http:
            return list(await asyncio.gather(*(client(http, number) for number in range(CLIENTS))))

    pairs = [pair for one in asyncio.run(crowd()) for pair in one]
    assert len(pairs) == CLIENTS * EACH  # nothing is lost
    for ask, heard in pairs:
        expected = alone[ask]
        assert (heard.action, heard.pack, heard.steered) == (expected.action, expected.pack, expected.steered)
        assert heard.risk == pytest.approx(expected.risk, abs=1e-3)
    other = [(ask, heard.text, alone[ask].text) for ask, heard in pairs if heard.text != alone[ask].text]
    assert not other, f"{len(other)} of {len(pairs)}, such as {other[0]}"


def test_the_tenants_are_served_as_the_policy_says(alone: dict[Ask, Heard]) -> None:
    actions = {name: {heard.action for ask, heard in alone.items() if ask.tenant == name} for name in TENANTS}
    assert actions["off"] == {"passed"}
    assert "blocked" in actions["block"]
    assert all("passed" not in actions[name] for name in TENANTS if name != "off")
    steps = {ask.tenant: heard.steered for ask, heard in alone.items() if heard.action == "steered" and ask.long}
    assert steps["paper"] != steps["first"]


def test_memory_levels_off_over_two_thousand_requests(server: Server, items: list[Item]) -> None:
    asks = [Ask(list(TENANTS)[n % len(TENANTS)], items[n % len(items)], n % 40 == 0) for n in range(2000)]

    async def run(some: list[Ask]) -> None:
        gate = asyncio.Semaphore(CLIENTS)

        async def one(ask: Ask) -> None:
            async with gate:
                await answered(http, ask)

        async with http_to(server) as http:
            await asyncio.gather(*map(one, some))

    def resident() -> int:
        root = psutil.Process(server.process.pid)
        return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)])

    # What is prepared once for every shape of a batch fills up in the beginning; what is lost per request does not end.
    start = resident()
    asyncio.run(run(asks[:1000]))
    middle = resident()
    asyncio.run(run(asks[1000:]))
    first, second = middle - start, resident() - middle
    print(f"{start >> 20} MiB, then {first >> 20} and {second >> 20} more in a thousand requests each")
    assert second < max(0.06 * middle, 0.5 * first), f"{second >> 20} MiB more, after {first >> 20} at first"
    status = httpx.get(f"{server.url}/ras/status", headers={"Authorization": "Bearer admin"}).json()
    assert status["workers"][0]["counts"]["judged"] >= 1500


def test_nothing_was_said_twice_or_not_at_all_in_the_access_log(server: Server) -> None:
    path = Path(server.stderr.parent / "access.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    ids = [line["request_id"] for line in lines if line["status"] == 200]
    assert len(ids) == len(set(ids)) >= 2000
