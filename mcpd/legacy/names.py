"""What agents are called: the nine of the old system by their display names too, others as they call themselves."""

from __future__ import annotations

from mcpd.agents import names

AGENTS = frozenset(
    (
        "backend-api", "database", "frontend-ui", "testing", "instagram",
        "supervisor", "master", "deployment", "queue-manager",
    )
)  # fmt: skip


def agent(text: str) -> str:
    """Return the agent that *text* means: ``Backend API Agent`` and ``claude-backend_api`` are backend-api."""
    name = text.strip()
    slug = names.normalise(name)
    return slug if slug in AGENTS else name
