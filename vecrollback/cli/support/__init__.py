"""What the commands share: the session, options that several of them take, and how results are shown."""
