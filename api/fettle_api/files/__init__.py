"""The workspace: every name and file in it is hostile."""
