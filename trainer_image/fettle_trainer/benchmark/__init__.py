"""Scores of a base model and an adapter: coherence, consistency, helpfulness; the formulae are in docs/scores.md."""
