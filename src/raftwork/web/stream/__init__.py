"""`/api/v1/stream`: what happens, as it happens, to all who look.

`feed` follows the cluster's events once for all viewers, `changes` says what is another than a
second ago, `subscription` is what a viewer asks for, and `viewers` tells it to each.
"""
