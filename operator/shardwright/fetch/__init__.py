"""Model facts from the Hub or a volume. The only room that speaks to the Hub."""
