from __future__ import annotations

import datetime as dt
import json
import threading
import time
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from pgultra import DeclarationError, PgultraError
from pgultra.features.embeddings import (
    Embedder,
    EmbeddingWorker,
    HashingEmbedder,
    OpenAIEmbedder,
    SentenceTransformerEmbedder,
    Worked,
)
from pgultra.features.embeddings.wire import Packer
from tests.features.embeddings.counting import at_once, fill
from tests.features.embeddings.sample import Article, Base

if TYPE_CHECKING:
    from collections.abc import Iterator


class Endpoint:
    """
    A local server that answers as told: statuses first, then embeddings.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.requests: list[tuple[str, dict[str, Any], str | None]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(size))
                endpoint.requests.append((self.path, body, self.headers.get("Authorization")))
                if endpoint.answers:
                    status, headers, answer = endpoint.answers.pop(0)
                else:
                    status, headers, answer = 200, {}, endpoint.embeddings(body["input"])
                content = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    @staticmethod
    def embeddings(texts: list[str]) -> dict[str, Any]:
        """
        In reverse order, as an endpoint may.
        """
        rows = [{"index": n, "embedding": [len(text), n, 1]} for n, text in enumerate(texts)]
        return {"data": rows[::-1]}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """
    The server, while the test runs.
    """
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()
    thread.join()


@given(st.text(max_size=200))
def test_hashing_takes_any_text(text: str) -> None:
    """
    Length one, always the same, whatever the text.
    """
    embedder = HashingEmbedder(64)
    [one], [other] = embedder.embed([text]), HashingEmbedder(64).embed([text])
    assert one == other
    assert sum(number * number for number in one) == pytest.approx(1)
    assert len(Packer(64, direction=True)(one)) == 260


def test_hashing_is_the_same_on_every_machine() -> None:
    """
    Vectors that were stored stay comparable: these numbers do not change.
    """
    [vector] = HashingEmbedder(8).embed(["Hello, world"])
    assert HashingEmbedder(8).model == "pgultra-hashing-1-8-34"
    assert vector == pytest.approx(FIXED, abs=1e-6)


FIXED = [0.4362143, -0.581619, -0.1454048, -0.1454048, 0.0, 0.1454048, -0.4516684, -0.4516684]


def test_hashing_brings_near_what_shares_words() -> None:
    """
    Spelling variants near, other subjects far.
    """
    embedder = HashingEmbedder(256)
    one, near, far = map(
        np.array, embedder.embed(["parse a date string", "parsing date strings", "open a socket"])
    )
    assert one @ near > 0.3 > one @ far
    with pytest.raises(DeclarationError, match="dimensions=1 is not a whole number from 2"):
        HashingEmbedder(1)


def test_batches_are_asked_for_and_put_in_order(endpoint: Endpoint) -> None:
    """
    Each text gets its own vector, though the answer is in another order.
    """
    embedder = OpenAIEmbedder(
        "m", 3, base_url=endpoint.url, api_key="secret", batch=2, shorten=True
    )
    assert isinstance(embedder, Embedder)
    assert embedder.embed(["a", "bb", "ccc"]) == [[1, 0, 1], [2, 1, 1], [3, 0, 1]]
    assert [body["input"] for _, body, _ in endpoint.requests] == [["a", "bb"], ["ccc"]]
    path, body, key = endpoint.requests[0]
    assert (path, body["dimensions"], key) == ("/v1/embeddings", 3, "Bearer secret")
    assert "secret" not in repr(embedder)
    assert embedder.embed([]) == []


async def test_it_can_be_awaited(endpoint: Endpoint) -> None:
    """
    The async worker calls this one.
    """
    assert await OpenAIEmbedder("m", 3, base_url=endpoint.url).embed_async(["a"]) == [[1, 0, 1]]


def test_rate_limits_are_honoured(endpoint: Endpoint) -> None:
    """
    After 429 it waits as long as told; after 503 by its own back-off; then it gives up.
    """
    endpoint.answers = [(429, {"Retry-After": "0.01"}, {}), (503, {"Retry-After": "0"}, {})]
    embedder = OpenAIEmbedder("m", 3, base_url=endpoint.url, attempts=3)
    assert embedder.embed(["a"]) == [[1, 0, 1]]
    assert len(endpoint.requests) == 3
    endpoint.answers = [(429, {"Retry-After": "0"}, {"error": "slow down"})] * 3
    with pytest.raises(PgultraError, match=r"answered 429 .*slow down"):
        embedder.embed(["a"])


@pytest.mark.slow
def test_it_waits_as_long_as_it_is_told(endpoint: Endpoint) -> None:
    """
    By seconds or by a date; longer than a minute is the caller's affair, and it says how long.
    """
    embedder = OpenAIEmbedder("m", 3, base_url=endpoint.url, attempts=2)
    endpoint.answers = [(429, {"Retry-After": "0.3"}, {})]
    start = time.monotonic()
    assert embedder.embed(["a"]) == [[1, 0, 1]]
    assert time.monotonic() - start >= 0.3
    later = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=2)
    endpoint.answers = [(429, {"Retry-After": format_datetime(later, usegmt=True)}, {})]
    assert embedder.embed(["a"]) == [[1, 0, 1]]
    assert dt.datetime.now(dt.UTC) >= later
    endpoint.requests.clear()
    endpoint.answers = [(429, {"Retry-After": "3600"}, {"error": "quota"})]
    with pytest.raises(PgultraError, match="quota") as caught:
        embedder.embed(["a"])
    assert caught.value.retry_after == 3600  # type: ignore[attr-defined]
    assert len(endpoint.requests) == 1


def test_nonsense_in_retry_after_is_no_word(endpoint: Endpoint) -> None:
    """
    Then its own back-off decides.
    """
    endpoint.answers = [(429, {"Retry-After": "soon"}, {}), (503, {}, {})]
    assert OpenAIEmbedder("m", 3, base_url=endpoint.url).embed(["a"]) == [[1, 0, 1]]


@pytest.mark.needs("vector")
def test_the_worker_waits_as_long_as_an_endpoint_asks(
    engine: sa.Engine, endpoint: Endpoint
) -> None:
    """
    Its rows are given back for that time, with the answer as their error.
    """
    Base.metadata.create_all(engine)
    fill(engine, 2)
    embedder = OpenAIEmbedder("length", 3, base_url=endpoint.url, api_key="key")
    worker = EmbeddingWorker(engine, embedder, Article.embedding, wait=at_once)
    endpoint.answers = [(429, {"Retry-After": "3600"}, {"error": "quota"})]
    assert worker.work_once() == Worked(failed=2)
    assert worker.work_once() == Worked()
    state = Base.metadata.tables["article_embedding_state"]
    with engine.begin() as connection:
        waits = sa.select(state.c.available_at - sa.func.now(), state.c.error)
        for wait, error in connection.execute(waits):
            assert dt.timedelta(minutes=59) < wait <= dt.timedelta(hours=1)
            assert "quota" in error
        connection.execute(sa.update(state).values(available_at=sa.func.now()))
    other = EmbeddingWorker(engine, embedder, Article.embedding)
    assert (worker.work(), other.work()) == (Worked(), Worked(embedded=2))


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (401, {"error": "bad key"}, "401"),
        (200, {"error": "none"}, "no embeddings"),
        (200, {"data": [{"index": 0, "embedding": [1, 2]}]}, "declared are 3"),
        (200, {"data": []}, "0 vectors"),
        (200, {"data": [{"index": 0, "embedding": None}]}, "a list of numbers, and not NoneType"),
        (200, {"data": [{"index": 0, "embedding": "abc"}]}, "a list of numbers, and not str"),
    ],
)
def test_what_is_no_embedding_is_refused(
    endpoint: Endpoint, status: int, answer: Any, reason: str
) -> None:
    """
    It is asked once, and the message says what came.
    """
    endpoint.answers = [(status, {}, answer)]
    with pytest.raises(PgultraError, match=reason):
        OpenAIEmbedder("m", 3, base_url=endpoint.url).embed(["a"])
    assert len(endpoint.requests) == 1


def test_an_endpoint_that_is_not_there_is_an_error() -> None:
    """
    After the attempts that were allowed.
    """
    embedder = OpenAIEmbedder("m", 3, base_url="http://127.0.0.1:9/v1", attempts=1)
    with pytest.raises(PgultraError, match="cannot be reached"):
        embedder.embed(["a"])


class Model:
    """
    What sentence-transformers has: encode.
    """

    def encode(self, texts: list[str], **options: Any) -> Any:
        assert options in ({}, {"batch_size": 4})
        return np.array([[len(text), 1.0] for text in texts], dtype="f4")


def test_a_loaded_model_embeds() -> None:
    """
    Dimensions are asked of it, and arrays come as they are.
    """
    embedder = SentenceTransformerEmbedder(Model(), name="tiny", batch_size=4)
    assert (embedder.model, embedder.dimensions) == ("tiny", 2)
    assert [list(each) for each in embedder.embed(["a", "bb"])] == [[1, 1], [2, 1]]
    with pytest.raises(DeclarationError, match="needs a name"):
        SentenceTransformerEmbedder(Model())


def test_a_missing_library_is_named() -> None:
    """
    The message is the command that installs it.
    """
    try:
        import sentence_transformers  # noqa: F401  # it registers itself
    except ImportError:
        with pytest.raises(PgultraError, match="pip install 'sentence-transformers'"):
            SentenceTransformerEmbedder("all-MiniLM-L6-v2")
