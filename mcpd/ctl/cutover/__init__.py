"""Switching between mcpd and the system before it, and watching how that goes."""
