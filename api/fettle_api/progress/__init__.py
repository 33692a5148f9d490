"""Progress of running jobs: reports come in, the live feed goes out."""
