"""The operator: watches TrainingJobs, runs them as batch Jobs, and leaves Adapters behind. DESIGN §4."""
