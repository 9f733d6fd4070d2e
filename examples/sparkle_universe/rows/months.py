"""
Rows for one month, in all seven partitioned tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert

from models import (
    ActivityStream,
    AnalyticsEvent,
    AuditLog,
    CurrencyTransaction,
    Message,
    Notification,
    PaymentKey,
    XpLog,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

USERS = 20
ACTIONS = ("LOGIN", "CREATE", "UPDATE", "SYSTEM_ACTION", "LOGOUT")


def month(session: Session, begin: datetime) -> int:
    """
    A month's rows, 100 of each kind; gives how many they are.
    """
    moments = [begin + timedelta(hours=6 * number) for number in range(100)]
    users = [number % USERS + 1 for number in range(100)]
    everybody = list(zip(moments, users, strict=True))
    rows = [
        (AnalyticsEvent, [{"timestamp": at, "name": f"page {user}"} for at, user in everybody]),
        (
            ActivityStream,
            [{"created_at": at, "actor_id": user, "verb": "posted"} for at, user in everybody],
        ),
        (
            AuditLog,
            [
                {"created_at": at, "action": ACTIONS[user % 5], "user_id": user}
                for at, user in everybody
            ],
        ),
        (
            Message,
            [
                {"conversation_id": user, "sender_id": user, "content": f"{at}"}
                for at, user in everybody
            ],
        ),
        (Notification, [{"user_id": user, "text": f"news of {at:%B}"} for at, user in everybody]),
        (
            XpLog,
            [
                {"created_at": at, "user_id": user, "amount": user, "reason": "post"}
                for at, user in everybody
            ],
        ),
    ]
    for model, values in rows:
        session.execute(insert(model), values)
    paid = sum(pay(session, f"{at:%Y-%m-%d} {user}", at, user) for at, user in everybody)
    return 600 + paid


def pay(session: Session, key: str, at: datetime, user: int) -> bool:
    """
    A payment that happens once: its key is claimed first, whatever the month.
    """
    claimed = upsert(PaymentKey).values(idempotency_key=key).on_conflict_do_nothing()
    if session.execute(claimed.returning(PaymentKey.idempotency_key)).first() is None:
        return False
    session.add(CurrencyTransaction(created_at=at, user_id=user, amount=5, idempotency_key=key))
    return True
