"""Django's tasks on a cluster: `"BACKEND": "raftwork.contrib.django.RaftworkBackend"`.

With `"raftwork.contrib.django"` in INSTALLED_APPS there is `manage.py raftwork_worker`, too.
"""

from raftwork.contrib.peers import peer

peer("django", "django")

from raftwork.contrib.django.backend import RaftworkBackend  # noqa: E402 - if it is there

__all__ = ["RaftworkBackend"]
