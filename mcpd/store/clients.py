"""Clients that may get access tokens, and the tokens that they got; what is kept of a token is its id."""

from __future__ import annotations

from dataclasses import dataclass

from mcpd.store.database import Database, Row

_FORGET_AT_ONCE = 100
_CLIENT = "name, salt, digest, scopes, created_us, created_by, rotated_us"
_COLUMNS = "id, client, scopes, issued_us, expires_us, revoked_us"


@dataclass(frozen=True, slots=True)
class Client:
    """One client: its secret's ``salt`` and ``digest``, its ``scopes`` between spaces, times in µs since the epoch."""

    name: str
    salt: bytes
    digest: bytes
    scopes: str
    created_us: int
    created_by: str
    rotated_us: int | None


@dataclass(frozen=True, slots=True)
class Token:
    """One token that was issued; times in µs since the epoch."""

    id: str
    client: str
    scopes: str
    issued_us: int
    expires_us: int
    revoked_us: int | None


def find(db: Database, name: str) -> Client | None:
    """Return the client *name*, None if there is none."""
    row = db.one(f"SELECT {_CLIENT} FROM oauth_clients WHERE name = ?", (name,))  # noqa: S608 - our own column names
    return None if row is None else Client(*row)


def listing(db: Database, limit: int) -> list[Client]:
    """Return *limit* clients by name."""
    rows = db.rows(f"SELECT {_CLIENT} FROM oauth_clients ORDER BY name LIMIT ?", (limit,))  # noqa: S608
    return [Client(*row) for row in rows]


def add(db: Database, client: Client) -> None:
    """Keep a new *client*."""
    db.execute(
        f"INSERT INTO oauth_clients ({_CLIENT}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            client.name, client.salt, client.digest, client.scopes, client.created_us, client.created_by,
            client.rotated_us,
        ),
    )  # fmt: skip


def rotate(db: Database, name: str, salt: bytes, digest: bytes, now_us: int) -> None:
    """Give the client *name* another secret; its tokens end with the old one."""
    db.execute(
        "UPDATE oauth_clients SET salt = ?, digest = ?, rotated_us = ? WHERE name = ?", (salt, digest, now_us, name)
    )
    revoke_all(db, name, now_us)


def remove(db: Database, name: str, now_us: int) -> None:
    """Forget the client *name*; its tokens end."""
    db.execute("DELETE FROM oauth_clients WHERE name = ?", (name,))
    revoke_all(db, name, now_us)


def revoke_all(db: Database, client: str, now_us: int) -> None:
    """End all tokens of *client*."""
    db.execute("UPDATE access_tokens SET revoked_us = ? WHERE client = ? AND revoked_us IS NULL", (now_us, client))


def add_token(db: Database, token: Token) -> None:
    """Keep that *token* was issued, and forget some whose time is up."""
    db.execute(
        "DELETE FROM access_tokens WHERE id IN (SELECT id FROM access_tokens WHERE expires_us <= ? LIMIT ?)",
        (token.issued_us, _FORGET_AT_ONCE),
    )
    db.execute(
        f"INSERT INTO access_tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own column names
        (token.id, token.client, token.scopes, token.issued_us, token.expires_us, token.revoked_us),
    )


def find_token(db: Database, token_id: str) -> Token | None:
    """Return the token *token_id*, None if it is not kept (any more)."""
    row = db.one(f"SELECT {_COLUMNS} FROM access_tokens WHERE id = ?", (token_id,))  # noqa: S608
    return None if row is None else Token(*row)


def stands(db: Database, token_id: str, client: str) -> bool:
    """Say whether the token *token_id* was issued to *client*, which is still there, and was not revoked."""
    query = (
        "SELECT 1 FROM access_tokens INNER JOIN oauth_clients ON name = client"
        " WHERE id = ? AND client = ? AND revoked_us IS NULL"
    )
    return db.one(query, (token_id, client)) is not None


def tokens(db: Database, now_us: int, limit: int) -> list[Token]:
    """Return *limit* tokens whose time is not up, newest first; revoked ones too."""
    query = f"SELECT {_COLUMNS} FROM access_tokens WHERE expires_us > ? ORDER BY issued_us DESC, id LIMIT ?"  # noqa: S608
    return [Token(*row) for row in db.rows(query, (now_us, limit))]


def count_tokens(db: Database, client: str, now_us: int) -> int:
    """Return how many tokens of *client* can be used."""
    query = "SELECT count(*) FROM access_tokens WHERE client = ? AND revoked_us IS NULL AND expires_us > ?"
    return int(db.value(query, (client, now_us)))


def revoke(db: Database, token_id: str, now_us: int) -> bool:
    """End the token *token_id*; say whether it could have been used until now."""
    rows: list[Row] = db.rows(
        "UPDATE access_tokens SET revoked_us = ?1 WHERE id = ?2 AND revoked_us IS NULL AND expires_us > ?1"
        " RETURNING id",
        (now_us, token_id),
    )
    return bool(rows)
