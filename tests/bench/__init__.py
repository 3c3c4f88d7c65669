"""How fast mcpd answers, side by side with the official Python SDK's server and nginx: ``python -m tests.bench``."""
