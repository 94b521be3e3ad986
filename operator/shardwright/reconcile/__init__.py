"""What to write, as a pure function of what is seen. Knows no client, no clock and no queue."""
