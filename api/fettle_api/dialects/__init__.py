"""One package for each published REST surface. They know the service and the neutral models, never each other."""
