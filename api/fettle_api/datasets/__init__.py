"""Datasets of the workspace: adding, listing, showing and removing them. No HTTP, no dialect."""
