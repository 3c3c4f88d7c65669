"""mcpd: systemd-native daemons through which coding agents coordinate over MCP."""

__version__ = "0.1.0"
