"""Use cases of training jobs: submit, list, derive, estimate, read what they leave behind."""
