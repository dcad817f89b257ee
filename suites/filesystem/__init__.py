"""Files: whole, in blocks, as trees."""
