"""
The newspaper's API.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator  # noqa: TC003  # FastAPI reads the annotations
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from pgultra import embeddings, search, soft_delete
from tests.hosts.fastapi_news.models import EMBEDDER, Article, Comment, Subscriber, Visit


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    app.state.engine = engine
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session, session.begin():
        yield session


Database = Annotated[AsyncSession, Depends(session)]
app = FastAPI(lifespan=lifespan)


class ArticleIn(BaseModel):
    slug: str
    title: str
    body: str
    comments: list[str] = []


class ArticleOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    slug: str
    title: str


class SubscriberIn(BaseModel):
    name: str
    email: str
    phone: str | None = None


@app.post("/articles", status_code=201)
async def publish(article: ArticleIn, session: Database) -> ArticleOut:
    made = Article(**article.model_dump(exclude={"comments"}))
    made.comments = [Comment(text=text) for text in article.comments]
    session.add(made)
    try:
        await session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "there is an article with this slug") from error
    return ArticleOut.model_validate(made)


@app.get("/articles")
async def find(session: Database, q: str | None = None) -> list[ArticleOut]:
    statement = select(Article).order_by(Article.id)
    if q is not None:
        statement = statement.where(search.match(Article.words, q))
    return [ArticleOut.model_validate(each) for each in await session.scalars(statement)]


@app.get("/articles/near")
async def near(session: Database, q: str) -> list[ArticleOut]:
    (vector,) = EMBEDDER.embed([q])
    found = await session.execute(
        embeddings.nearest(select(Article), Article.embedding, vector, k=2)
    )
    return [ArticleOut.model_validate(article) for article, _ in found]


@app.get("/articles/{number}")
async def read(number: int, session: Database) -> dict[str, Any]:
    article = await session.get(Article, number)
    if article is None:
        raise HTTPException(404)
    session.add(Visit(article_id=number))
    texts = [comment.text for comment in await article.awaitable_attrs.comments]
    return {"title": article.title, "body": article.body, "comments": texts}


@app.delete("/articles/{number}", status_code=204)
async def remove(number: int, session: Database) -> None:
    article = await session.get(Article, number)
    if article is None:
        raise HTTPException(404)
    await soft_delete.delete(session, article, by="editor")


@app.post("/articles/{number}/restore")
async def restore(number: int, session: Database) -> dict[str, int]:
    statement = soft_delete.only_deleted(select(Article).where(Article.id == number))
    article = (await session.scalars(statement)).one_or_none()
    if article is None:
        raise HTTPException(404)
    return {"restored": len(await soft_delete.restore(session, article))}


@app.post("/subscribers", status_code=201)
async def subscribe(subscriber: SubscriberIn, session: Database) -> None:
    session.add(Subscriber(**subscriber.model_dump()))
    try:
        await session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "this address is subscribed") from error


@app.get("/subscribers")
async def subscribers(session: Database, email: str) -> list[dict[str, str | None]]:
    found = await session.scalars(select(Subscriber).where(Subscriber.email == email))
    return [{"name": each.name, "email": each.email, "phone": each.phone} for each in found]


async def embed(app: FastAPI) -> int:
    """
    What a background task of the newspaper does.
    """
    worker = embeddings.EmbeddingWorker(app.state.engine, EMBEDDER, Article.embedding)
    return (await worker.work_async()).embedded
