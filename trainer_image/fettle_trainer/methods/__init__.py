"""Training methods, one file each, read top to bottom: data, model, trainer, save."""
