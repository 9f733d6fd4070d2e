"""
The shop's pages.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, abort, jsonify, request

from pgultra import embeddings, search, soft_delete
from tests.hosts.flask_shop.models import EMBEDDER, Category, Customer, Ledger, Product, db


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)

    @app.get("/products")
    def products() -> Any:
        statement = db.select(Product).order_by(Product.id)
        if "q" in request.args:
            statement = search.top(statement, Product.search, request.args["q"], limit=10)
            return jsonify([each.Product.sku for each in db.session.execute(statement)])
        page = db.paginate(statement, per_page=2)
        return jsonify(total=page.total, items=[each.sku for each in page.items])

    @app.get("/products/<int:number>")
    def product(number: int) -> Any:
        found = db.get_or_404(Product, number)
        return jsonify(sku=found.sku, category=found.category.name)

    @app.get("/products/<int:number>/similar")
    def similar(number: int) -> Any:
        this = db.get_or_404(Product, number)
        others = db.select(Product).where(Product.id != number)
        near = embeddings.nearest(others, Product.embedding, this.embedding, k=1)
        return jsonify([other.sku for other, _ in db.session.execute(near)])

    @app.post("/products/<int:number>/sell")
    def sell(number: int) -> Any:
        db.session.add(Ledger(kind="sale", product_id=db.get_or_404(Product, number).id))
        db.session.commit()
        return "", 201

    @app.delete("/categories/<int:number>")
    def close(number: int) -> Any:
        db.session.delete(db.get_or_404(Category, number))
        db.session.commit()
        return "", 204

    @app.post("/categories/<int:number>/reopen")
    def reopen(number: int) -> Any:
        statement = soft_delete.only_deleted(db.select(Category).filter_by(id=number))
        category = db.session.scalars(statement).one_or_none() or abort(404)
        restored = soft_delete.restore(db.session, category)
        db.session.commit()
        return jsonify(restored=len(restored))

    @app.get("/customers")
    def customers() -> Any:
        found = Customer.query.filter_by(email=request.args["email"]).all()
        return jsonify([each.name for each in found])

    @app.cli.command("embed")
    def embed() -> None:
        embeddings.EmbeddingWorker(db.engine, EMBEDDER, Product.embedding).work()

    return app
