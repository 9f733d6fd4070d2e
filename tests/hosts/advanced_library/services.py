"""
The library's repositories and services.
"""

from __future__ import annotations

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService

from tests.hosts.advanced_library.models import Author, Book, Loan, Reader


class BookRepository(SQLAlchemyAsyncRepository[Book]):
    model_type = Book


class LoanRepository(SQLAlchemyAsyncRepository[Loan]):
    model_type = Loan


class AuthorService(SQLAlchemyAsyncRepositoryService[Author]):
    class Repository(SQLAlchemyAsyncRepository[Author]):
        model_type = Author

    repository_type = Repository


class ReaderService(SQLAlchemyAsyncRepositoryService[Reader]):
    class Repository(SQLAlchemyAsyncRepository[Reader]):
        model_type = Reader

    repository_type = Repository
