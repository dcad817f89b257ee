"""What a caller wants to be kept from, and how that is enforced here."""
