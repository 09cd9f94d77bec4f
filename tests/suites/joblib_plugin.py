"""For pytest: joblib's processes are Raftwork's, under the name of the backend that has them."""

import joblib.parallel

from raftwork.contrib.joblib import RaftworkBackend

joblib.parallel.BACKENDS["loky"] = RaftworkBackend
