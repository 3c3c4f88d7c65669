"""The health check: each module gathers the facts of one part of mcpd and judges them, apart from each other."""
