"""mcpctl, the operator's command: one module a subcommand, and what they share."""
