"""The released exec-server of the npm package ``@openai/codex``: where it comes from, and how it is run."""
