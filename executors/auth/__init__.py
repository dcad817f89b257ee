"""Who may connect to an executor that listens; the decision knows no socket and no clock."""
