"""Calls that an executor sends (raftwork/executor.py): functions by reference, or pickled.

Who may enqueue may have a worker call functions, and to name any (`os:system`) is as much as to
send one pickled. So without `--pickle` it calls those that the App's own package defines, no
others, and unpickles nothing.
"""

import importlib
import importlib.util
import pickle
import traceback
from collections.abc import Callable, Mapping
from typing import cast

from raftwork.attempt_ends import Reject, Resume, Retry
from raftwork.errors import NotSerializable, TaskCancelled
from raftwork.references import EXECUTOR_TASK, reference, referred
from raftwork.serialization import pack_result
from raftwork.worker.runner import TRACEBACK_MAX, Registry

Calls = tuple[Callable[..., object], list[object], dict[str, object]]
_ENDS = (Retry, Resume, Reject, TaskCancelled)


def served(app_target: str, *, pickles: bool) -> Registry:
    """The task by which executors have functions called; `app_target` is MODULE:APP."""
    return {EXECUTOR_TASK: _Caller(app_target.partition(":")[0], pickles=pickles).call}


class _Caller:
    def __init__(self, module: str, *, pickles: bool) -> None:
        self._package = module.partition(".")[0]
        self._pickles = pickles
        #: Executors whose initializer has run in this process.
        self._begun: set[str] = set()

    def call(self, call: dict[str, object]) -> list[object]:
        """What the function returned or raised. Rejects what it may not call."""
        pickled = call.get("by") == "pickle"
        first = cast("dict[str, object] | None", call.get("first"))
        if first is not None and first["id"] not in self._begun:
            function, args, kwargs = self._read(first)
            try:
                function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - its program is to be told
                return ["broken", _traced(error)]
            self._begun.add(str(first["id"]))
        function, args, kwargs = self._read(call)
        del call
        try:
            value = function(*args, **kwargs)
        except _ENDS:
            raise
        except BaseException as error:  # noqa: BLE001 - as an executor does: it is an outcome
            return _raised(error, pickled=pickled)
        return ["pickled", _dumped(value)] if pickled else ["value", value]

    def _read(self, call: Mapping[str, object]) -> Calls:
        if call.get("by") == "pickle":
            if not self._pickles:
                raise Reject("this worker unpickles nothing: start it with --pickle if it may")
            return cast("Calls", pickle.loads(cast("bytes", call["call"])))  # noqa: S301 - it may
        text = str(call["function"])
        module = text.partition(":")[0].partition(".")[0]
        if not self._pickles and module != self._package:
            raise Reject(
                f"this worker calls functions of {self._package!r} alone, not {text!r}: start it"
                " with --pickle if it may call any"
            )
        try:
            function = referred(text)
        except LookupError as error:
            raise Reject(str(error)) from None
        if not self._pickles and reference(function) != text:  # such as `os.system` of a module
            raise Reject(
                f"what is called {text!r} is not defined as {text!r}: start the worker with"
                " --pickle if it may call what the App's modules import"
            )
        args, kwargs = call.get("args", []), call.get("kwargs", {})
        return function, cast("list[object]", args), cast("dict[str, object]", kwargs)


def _raised(error: BaseException, *, pickled: bool) -> list[object]:
    """Of an exception all that the program needs to raise it again."""
    kind = type(error)
    told: list[object] = [
        *("raised", f"{kind.__module__}:{kind.__qualname__}"),
        *(_plain(list(error.args)), str(error), _traced(error)),
    ]
    if pickled:
        try:
            dumped = _dumped(error.with_traceback(None))
            pickle.loads(dumped)  # noqa: S301 - ours; some can be written and not read
            told.append(dumped)
        except Exception:  # noqa: BLE001 - its words must do
            return told
    return told


def _plain(args: list[object]) -> list[object] | None:
    try:
        pack_result(args)
    except (NotSerializable, ValueError):
        return None
    return args


def _traced(error: BaseException) -> str:
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.format_exception(type(error), error, trace))[-TRACEBACK_MAX // 4 :]


def _dumped(value: object) -> bytes:
    """Pickled: by value what has no module, where cloudpickle is installed."""
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        if importlib.util.find_spec("cloudpickle") is None:
            raise
        dumped: bytes = importlib.import_module("cloudpickle").dumps(value)
        return dumped
