"""What stands ahead of models as people train them, tried on labelled data."""
