from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.hosts.stage import Host

BREAD = {"slug": "rye", "title": "Rye loaves", "body": "Sour dough.", "comments": ["Yes!", "No."]}


@pytest_asyncio.fixture
async def client(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """
    A client of the running application.
    """
    app = host.module("main").app
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://news") as client:
            yield client


async def test_articles_go_and_come_back(client: httpx.AsyncClient) -> None:
    """
    A deleted article is gone with its comments, its slug is free, and both come back.
    """
    made: dict[str, Any] = (await client.post("/articles", json=BREAD)).json()
    path = f"/articles/{made['id']}"
    assert (await client.post("/articles", json=BREAD)).status_code == 409
    assert (await client.get(path)).json()["comments"] == ["Yes!", "No."]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert made not in (await client.get("/articles")).json()
    assert (await client.post(f"{path}/restore")).json() == {"restored": 3}
    assert (await client.get(path)).json()["comments"] == ["Yes!", "No."]


async def test_articles_are_found_by_words(client: httpx.AsyncClient) -> None:
    """
    Those that were there before the rooms as well.
    """
    found = (await client.get("/articles", params={"q": "moon sea"})).json()
    assert [each["slug"] for each in found] == ["tides"]


@pytest.mark.needs("vector")
async def test_articles_are_found_by_meaning(client: httpx.AsyncClient, host: Host) -> None:
    """
    A new article is embedded by the application's own background task, and found.
    """
    main = host.module("main")
    await client.post("/articles", json=BREAD | {"slug": "embedded"})
    assert await main.embed(main.app) >= 1
    found = (await client.get("/articles/near", params={"q": "rye loaves sour dough"})).json()
    assert "Rye loaves" in [each["title"] for each in found]


async def test_addresses_are_secrets(client: httpx.AsyncClient, host: Host) -> None:
    """
    The API gives them by equality, the database holds ciphertexts, and one is taken once.
    """
    bob = {"name": "Bob", "email": "Bob@Example.com", "phone": "555 1234"}
    assert (await client.post("/subscribers", json=bob)).status_code == 201
    again = await client.post("/subscribers", json=bob | {"email": "BOB@example.COM"})
    assert again.status_code == 409
    found = (await client.get("/subscribers", params={"email": "bob@example.com"})).json()
    assert found == [bob]
    with host.engine().connect() as connection:
        stored = connection.execute(
            sa.text("SELECT email, phone FROM subscriber WHERE name = 'Bob'")
        )
        assert all(
            b"Example" not in bytes(value) and b"555" not in bytes(value) for value in stored.one()
        )


async def test_visits_lie_in_partitions(client: httpx.AsyncClient, host: Host) -> None:
    """
    Each read is a row in the partition of this month.
    """
    assert (await client.get("/articles/1")).status_code == 200
    with host.engine().connect() as connection:
        homes = connection.scalars(sa.text("SELECT DISTINCT tableoid::regclass::text FROM visit"))
        assert [home.startswith("visit_2") for home in homes] == [True]
