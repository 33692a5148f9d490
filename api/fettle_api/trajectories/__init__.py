"""Trajectories of agents: taken in, scrubbed, kept in the workspace, and made into datasets. No HTTP, no dialect."""
