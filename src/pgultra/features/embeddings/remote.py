"""
Embedders that load a model or ask for one over HTTP; their libraries are imported on use.
"""

from __future__ import annotations

import datetime as dt
import os
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pgultra.errors import DeclarationError, PgultraError
from pgultra.plan.options import flag, named, refused, seconds, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

__all__ = ["OpenAIEmbedder", "SentenceTransformerEmbedder"]

TRANSIENT = {408, 409, 429, 500, 502, 503, 504}
"""Answers after which it is worth to ask again."""

OVERRUN = {429, 503}
"""Answers that tell nothing of the texts: too many requests, or nobody to answer them."""

MOST = 1_000_000
"""Of a batch and of attempts: a typing error is more likely than the wish for more."""

LONGEST_WAIT = 60.0
"""Seconds that ``embed`` itself waits; the worker waits for more than that."""


class Busy(PgultraError):
    """
    An endpoint that wants to be left alone for longer than ``embed`` waits, or is not there.

    Attributes:
        retry_after: for how many seconds; ``EmbeddingWorker`` gives the rows back for so long.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OpenAIEmbedder:
    """
    Any endpoint that speaks OpenAI's ``/embeddings``: OpenAI, Ollama, vLLM, TEI, LiteLLM.

    Texts go in batches. After 429 and 5xx it asks again, as late as the answer's
    ``Retry-After`` says (seconds, or a date) or by exponential back-off; what fails in the end
    raises, and the worker keeps the rows. Told to wait for more than a minute it raises at
    once, and the worker gives its rows back and rests for as long as that. After 429 and 503
    without such a word, or where nothing answers at its address, the worker rests for a minute.

    Args:
        model: the name that the endpoint knows.
        dimensions: how many numbers a vector has.
        base_url: up to ``/v1``.
        api_key: by default what the environment has under ``OPENAI_API_KEY``; its repr
            never shows it.
        batch: texts in one request.
        shorten: ask the endpoint to shorten vectors to ``dimensions`` (its models may).
        attempts: how often to ask before giving up.
        timeout: seconds for one request.
        options: more arguments for ``httpx.Client``, such as ``headers`` or ``transport``.

    Raises:
        DeclarationError: an option takes something else.

    Example:
        >>> OpenAIEmbedder("nomic-embed-text", 768, base_url="http://localhost:11434/v1")
        OpenAIEmbedder('nomic-embed-text', 768)
    """

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        dimensions: int = 1536,
        *,
        base_url: str = "https://api.openai.com/v1",
        api_key: str | None = None,
        batch: int = 128,
        shorten: bool = False,
        attempts: int = 5,
        timeout: float = 60.0,
        **options: Any,  # whatever httpx.Client takes
    ) -> None:
        place = "OpenAIEmbedder"
        text(place, "model", model)
        whole(place, "dimensions", dimensions, 1, 16000)
        if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
            raise refused(place, "base_url", base_url, "an address, as https://api.openai.com/v1")
        if api_key is not None and not isinstance(api_key, str):
            raise DeclarationError(f"{place}: api_key is a {type(api_key).__name__}, not a text")
        whole(place, "batch", batch, 1, MOST)
        flag(place, shorten=shorten)
        whole(place, "attempts", attempts, 1, MOST)
        seconds(place, "timeout", timeout)
        self.model = model
        self.dimensions = dimensions
        self.url = base_url.rstrip("/") + "/embeddings"
        self.batch = batch
        self.shorten = shorten
        self.attempts = attempts
        self._key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")
        self._options = {"timeout": timeout, **options}

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.model!r}, {self.dimensions})"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """
        One vector for each text.

        Raises:
            PgultraError: the endpoint refused, or gave something else.
        """
        httpx, tenacity = _library("httpx"), _library("tenacity")
        found: list[list[float]] = []
        with httpx.Client(**self._options) as client:
            ask = tenacity.retry(**self._retrying(httpx, tenacity))(
                lambda some: self._answer(client.post(self.url, **self._request(some)))
            )
            for start in range(0, len(texts), self.batch):
                found += self._vectors(texts[start : start + self.batch], ask, httpx)
        return found

    async def embed_async(self, texts: Sequence[str]) -> list[list[float]]:
        """
        The same, without blocking the event loop.
        """
        import asyncio

        return await asyncio.to_thread(self.embed, texts)

    def _request(self, texts: Sequence[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "input": list(texts)}
        if self.shorten:
            body["dimensions"] = self.dimensions
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return {"json": body, "headers": headers}

    def _answer(self, response: Any) -> Any:
        response.raise_for_status()
        return response.json()

    def _vectors(
        self, texts: Sequence[str], ask: Callable[[Sequence[str]], Any], httpx: Any
    ) -> list[list[float]]:
        try:
            answer = ask(texts)
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = [row["embedding"] for row in rows]
        except httpx.HTTPStatusError as error:
            body = error.response.text[:300]
            message = f"{self.url} answered {error.response.status_code} for {self.model}: {body}"
            overrun = error.response.status_code in OVERRUN
            told = asked_to_wait(error) or (LONGEST_WAIT if overrun else None)
            if told:
                raise Busy(message, told) from error
            raise PgultraError(message) from error
        except httpx.HTTPError as error:
            message = f"{self.url} cannot be reached: {error!r}"
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise Busy(message, LONGEST_WAIT) from error
            raise PgultraError(message) from error
        except (KeyError, TypeError, ValueError) as error:
            raise PgultraError(
                f"{self.url} gave no embeddings: its answer has no data[].embedding"
            ) from error
        if not all(isinstance(each, list) for each in vectors):
            kinds = sorted({type(each).__name__ for each in vectors})
            raise PgultraError(
                f"{self.url} gave no embeddings: data[].embedding is a list of numbers, and not "
                f"{', '.join(kinds)}"
            )
        if len(vectors) != len(texts) or any(len(each) != self.dimensions for each in vectors):
            given = {len(each) for each in vectors}
            raise PgultraError(
                f"{self.model} gave {len(vectors)} vectors of {sorted(given)} dimensions for "
                f"{len(texts)} texts; declared are {self.dimensions}"
            )
        return vectors

    def _retrying(self, httpx: Any, tenacity: Any) -> dict[str, Any]:
        back_off = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT)

        def worth_it(error: BaseException) -> bool:
            if isinstance(error, httpx.HTTPStatusError):
                transient = error.response.status_code in TRANSIENT
                return transient and (asked_to_wait(error) or 0.0) <= LONGEST_WAIT
            return isinstance(error, httpx.TransportError)

        def wait(state: Any) -> float:
            told = asked_to_wait(state.outcome.exception())
            return float(back_off(state)) if told is None else told

        return {
            "retry": tenacity.retry_if_exception(worth_it),
            "wait": wait,
            "stop": tenacity.stop_after_attempt(self.attempts),
            "reraise": True,
        }


def asked_to_wait(error: Any) -> float | None:  # an error of httpx
    """
    The seconds of an answer's ``Retry-After``, or None.
    """
    said = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "").strip()
    if said.isascii() and said.replace(".", "", 1).isdigit():
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000": a time in UTC
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())


class SentenceTransformerEmbedder:
    """
    A model of the library sentence-transformers, on this machine.

    Args:
        model: a name or a folder; or a loaded ``SentenceTransformer``, or anything with
            ``encode`` that gives one vector for each text.
        name: what is kept beside the rows; by default the model's name.
        options: more arguments for ``encode``, such as ``batch_size``.

    Raises:
        DeclarationError: the model cannot encode, or has no name.

    Example:
        >>> class Tiny:
        ...     def encode(self, texts, **options):
        ...         return [[1.0, 0.5] for _ in texts]
        >>> SentenceTransformerEmbedder(Tiny(), name="tiny").dimensions
        2
    """

    def __init__(
        self,
        model: Any = "all-MiniLM-L6-v2",  # a name, or an object with encode
        *,
        name: str | None = None,
        **options: Any,  # whatever encode takes
    ) -> None:
        named("SentenceTransformerEmbedder", name=name)
        if isinstance(model, str):
            text("SentenceTransformerEmbedder", "model", model)
            library = _library("sentence_transformers", "sentence-transformers")
            name = name or model
            model = library.SentenceTransformer(model)
        if isinstance(model, type) or not callable(getattr(model, "encode", None)):
            such = "a name, or a loaded model with encode"
            raise refused("SentenceTransformerEmbedder", "model", model, such)
        if name is None:
            raise DeclarationError(
                "a loaded model needs a name that is kept beside its vectors: "
                "SentenceTransformerEmbedder(model, name='all-MiniLM-L6-v2')"
            )
        self.model = name
        self._encode = model.encode
        self._options = options
        self.dimensions = len(self.embed(["dimensions"])[0])

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """
        One vector for each text.
        """
        return list(self._encode(list(texts), **self._options))


def _library(name: str, package: str | None = None) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        extra = f"'{package}'" if package else "'pgultra[embedders]'"
        raise PgultraError(f"this embedder needs {name}: pip install {extra}") from None
