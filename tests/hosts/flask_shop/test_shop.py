from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient

    from tests.hosts.stage import Host


@pytest.fixture
def app(host: Host) -> Iterator[Flask]:
    """
    The application in its context.
    """
    app = host.module("app").create_app()
    db = host.module("models").db
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """
    A browser.
    """
    return app.test_client()


def test_a_category_closes_with_its_products(client: FlaskClient) -> None:
    """
    Pages, pagination and ``get_or_404`` see live rows only, and all comes back.
    """
    assert client.get("/products").get_json() == {"total": 3, "items": ["T1", "T2"]}
    assert client.delete("/categories/1").status_code == 204
    assert client.get("/products").get_json() == {"total": 1, "items": ["C1"]}
    assert client.get("/products/1").status_code == 404
    assert client.get("/products/3").get_json() == {"sku": "C1", "category": "coffee"}
    assert client.post("/categories/1/reopen").get_json() == {"restored": 3}
    assert client.get("/products/1").get_json() == {"sku": "T1", "category": "tea"}


def test_raw_sql_cannot_delete(app: Flask, host: Host) -> None:
    """
    The guard answers to ``db.session.execute(text(...))`` as well.
    """
    db = host.module("models").db
    with pytest.raises(sa.exc.DBAPIError, match="soft"):
        db.session.execute(sa.text("DELETE FROM product WHERE id = 2"))
    db.session.rollback()


def test_products_are_found(client: FlaskClient) -> None:
    """
    By a word of their description, those from before too.
    """
    assert client.get("/products?q=leaves").get_json() == ["T1", "T2"]
    assert client.get("/products?q=roasted").get_json() == ["C1"]


@pytest.mark.needs("vector")
def test_similar_products(app: Flask, client: FlaskClient) -> None:
    """
    The application's own command embeds what waits.
    """
    assert app.test_cli_runner().invoke(args=["embed"]).exit_code == 0
    assert client.get("/products/1/similar").get_json() == ["T2"]


def test_customers_by_address(app: Flask, client: FlaskClient, host: Host) -> None:
    """
    ``filter_by`` asks the blind index, and the old rows have no address yet.
    """
    models: Any = host.module("models")
    models.db.session.get(models.Customer, 1).email = "Ann@Example.com"
    models.db.session.commit()
    assert client.get("/customers?email=ann@example.COM").get_json() == ["Ann"]
    stored = models.db.session.scalars(sa.text("SELECT email FROM customer ORDER BY id")).all()
    assert b"Ann" not in bytes(stored[0])
    assert stored[1] is None


def test_the_ledger_is_divided(client: FlaskClient, host: Host) -> None:
    """
    A sale is a row in the partition of money; what has no home is refused.
    """
    assert client.post("/products/1/sell").status_code == 201
    models: Any = host.module("models")
    homes = sa.text("SELECT tableoid::regclass::text FROM ledger")
    assert models.db.session.scalars(homes).all() == ["ledger_money"]
    models.db.session.add(models.Ledger(kind="theft", product_id=1))
    with pytest.raises(sa.exc.IntegrityError, match="no partition"):
        models.db.session.commit()
    models.db.session.rollback()
