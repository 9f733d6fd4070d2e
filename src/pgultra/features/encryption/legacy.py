"""
Types that read what other tools encrypted, to adopt it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import LargeBinary, String, Text, bindparam, func, type_coerce
from sqlalchemy.types import TypeDecorator, UserDefinedType

from pgultra.errors import DeclarationError, DecryptionError, EncryptionError
from pgultra.features.encryption import secrecy
from pgultra.features.encryption.comparator import Closed
from pgultra.plan.options import flag, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.types import TypeEngine

__all__ = ["FernetText", "PgcryptoColumn"]

WEAK = 16
OPTIONS = "cipher-algo=aes256, compress-algo=0"


class PgcryptoColumn(UserDefinedType[str]):
    """
    A text in ``bytea`` that pgcrypto's ``pgp_sym_encrypt`` wrote; read and written by the server.

    For data that exist, and to adopt them. The passphrase is a bound parameter, never part
    of the statement's text; but **a server that logs parameters logs it**: set
    ``log_parameter_max_length = 0`` and ``log_parameter_max_length_on_error = 0`` (and
    ``pgaudit.log_parameter = off``) first. The server sees every plaintext.

    It can be asked for ``IS NULL`` only: a value is encrypted anew each time, so ``==`` would
    find nothing, and raises.

    Args:
        passphrase: is called for every statement, such as ``lambda: os.environ["OLD_KEY"]``.
        minimum: refuse shorter passphrases.

    Raises:
        DeclarationError: the passphrase is not given as a function, or an option takes something
            else; a passphrase that is too short is an EncryptionError when it is used.

    Example::

        Column("phone", PgcryptoColumn(lambda: os.environ["PGCRYPTO_PASSPHRASE"]))
    """

    cache_ok = True
    comparator_factory = Closed
    sends_passphrase = True

    def __init__(self, passphrase: Callable[[], str], minimum: int = WEAK) -> None:
        secrecy.listen()
        if not callable(passphrase):
            raise DeclarationError(
                "passphrase is a function that returns it, so that it stands in no repr or pickle"
            )
        whole("PgcryptoColumn", "minimum", minimum, 0, 1_000_000)
        self.passphrase = passphrase
        self.minimum = minimum

    def get_col_spec(self, **_options: Any) -> str:
        """
        ``BYTEA``.
        """
        return "BYTEA"

    def photograph(self) -> TypeEngine[bytes]:
        """
        What migrations call it.
        """
        return LargeBinary()

    def _read(self) -> str:
        text = self.passphrase()
        if not isinstance(text, str) or len(text) < max(self.minimum, 1):
            raise EncryptionError(
                f"the passphrase of a pgcrypto column is empty or shorter than {self.minimum} "
                "characters; say minimum= if the data that exist need a shorter one"
            )
        return text

    def _parameter(self) -> Any:
        # NULLIF: an empty passphrase must be an error of ours, not a weak key.
        return func.nullif(bindparam(None, callable_=self._read, type_=Text, unique=True), "")

    def bind_expression(self, bindvalue: Any) -> Any:
        """
        ``pgp_sym_encrypt(value, passphrase, options)``.
        """
        value = type_coerce(bindvalue, Text)
        return func.pgp_sym_encrypt(value, self._parameter(), OPTIONS, type_=self)

    def column_expression(self, colexpr: Any) -> Any:
        """
        ``pgp_sym_decrypt(column, passphrase)``.
        """
        column = type_coerce(colexpr, LargeBinary)
        return func.pgp_sym_decrypt(column, self._parameter(), type_=String)

    def __repr__(self) -> str:
        return "PgcryptoColumn(...)"


class FernetText(TypeDecorator[str]):
    """
    A text that Fernet encrypted (Django's and SQLAlchemy's Fernet fields), to adopt it.

    It can be asked for ``IS NULL`` only: ``==`` would find nothing, and raises.

    Args:
        keys: is called when a value is read, and gives Fernet keys, the newest first.
        binary: the tokens are in ``bytea``, not in text.

    Raises:
        DeclarationError: the keys are not given as a function, or ``binary`` is something else.

    Example::

        Column("phone", FernetText(lambda: os.environ["FERNET_KEYS"].split(",")))
    """

    impl = String
    cache_ok = True
    comparator_factory = Closed

    def __init__(self, keys: Callable[[], Sequence[str | bytes]], binary: bool = False) -> None:
        super().__init__()
        if not callable(keys):
            raise DeclarationError(
                "keys is a function that returns them, so that they stand in no repr or pickle"
            )
        flag("FernetText", binary=binary)
        self.keys = keys
        self.binary = binary

    def load_dialect_impl(self, dialect: Any) -> TypeEngine[Any]:
        """
        Text, or ``bytea``.
        """
        plain = self.photograph()
        return dialect.type_descriptor(plain)  # type: ignore[no-any-return]  # SQLAlchemy leaves it untyped

    def photograph(self) -> TypeEngine[Any]:
        """
        What migrations call it.
        """
        return LargeBinary() if self.binary else String()

    def _fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self.keys()])

    def process_bind_param(self, value: str | None, dialect: object) -> Any:
        """
        Encrypt.
        """
        if value is None:
            return None
        token = self._fernet().encrypt(value.encode())
        return token if self.binary else token.decode()

    def process_result_value(self, value: Any, dialect: object) -> str | None:
        """
        Decrypt.

        Raises:
            DecryptionError: the token is of no key given.
        """
        if value is None:
            return None
        try:
            return self._fernet().decrypt(value).decode()
        except (InvalidToken, ValueError, TypeError):
            pass
        raise DecryptionError("?", "a Fernet column", None)

    def __repr__(self) -> str:
        return "FernetText(...)"
