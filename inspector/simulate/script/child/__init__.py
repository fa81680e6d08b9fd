"""What runs in the child: the user's script, in a world whose card is simulated. Nothing here runs in a caller."""
