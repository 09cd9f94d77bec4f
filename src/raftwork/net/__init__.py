"""What every connection needs: names resolved aside, links renewed, pauses that grow."""
