"""Routes by what they are about. Each reads its request, makes one call on the store, and answers."""
