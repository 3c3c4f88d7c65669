"""How sensitive data is: the classes that tools, resources and records are declared to be of."""

from __future__ import annotations

from typing import Literal, get_args

Classification = Literal["public", "internal", "confidential", "restricted", "pii", "phi", "pci"]
CLASSES: tuple[Classification, ...] = get_args(Classification)
OPEN = frozenset(("public", "internal"))
"""What needs neither encryption nor a log of its accesses."""

LABELS: dict[str, str] = {
    name: name.upper() if name in ("pii", "phi", "pci") else name.capitalize() for name in CLASSES
}
"""What the system before mcpd called them."""


def is_sensitive(classification: str) -> bool:
    """Say whether accesses to data of *classification* are logged."""
    return classification not in OPEN
