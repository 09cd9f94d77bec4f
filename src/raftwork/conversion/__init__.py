"""Values that the wire does not carry, as plain ones and back: by annotation.

Out: a value becomes what serialization.py carries: text, numbers, lists, dicts. In: the annotation
of the parameter says what becomes of that. `compiler` makes a Shape of an annotation, once a task;
`signature` has those of one function; `by_value` is for code that is not here. A program whose
tasks are plain loads none of what compiles.
"""

from raftwork.conversion.shapes import Convert, Converter, converters
from raftwork.conversion.signature import NO_TYPES, Annotations, Arguments, Types, Unknown

__all__ = [
    "Arguments",
    "Convert",
    "Converter",
    "NO_TYPES",
    "Annotations",
    "Types",
    "Unknown",
    "converters",
]
