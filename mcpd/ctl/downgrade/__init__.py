"""Taking an upgrade of mcpd back: the package before it, and the database as that one left it."""
