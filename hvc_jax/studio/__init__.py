"""The studio: change the person in a stream and watch."""
