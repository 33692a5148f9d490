"""Seeded runs of the operator through a faulty proxy, and the check of what they left in the cluster's history."""
