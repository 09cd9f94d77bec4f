"""The Django app, for its command."""

from django.apps import AppConfig


class RaftworkConfig(AppConfig):
    """It has no models."""

    name = "raftwork.contrib.django"
    label = "raftwork"
