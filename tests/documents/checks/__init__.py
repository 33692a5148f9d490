"""What the samples of each document are: requests, answers, messages, bodies; and what must exist before them."""
