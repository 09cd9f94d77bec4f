"""Whatever the bytes, a decoder gives a value or says no in its own words, and takes little for it.

The same decoders under coverage-guided fuzzing, for as long as you like: `make fuzz`.
"""

import re
import tracemalloc
from pathlib import Path

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.addresses import parse_address
from raftwork.wire import pack
from tests.fuzz.decoders import DECODERS, HEADERS, check, plain, spoilt

every = pytest.mark.parametrize("name", list(DECODERS))
SOURCE = Path(__file__).parents[2] / "src" / "raftwork"
#: Between a worker and the processes it forked itself.
_OWN = {"worker/pool/fork_server.py:decode_job", "worker/pool/child_waits.py:decode_wait"}
#: Codecs that are fuzzed through the function that uses them.
_PRIVATE = {
    "_fields": "decode_fields",
    "_spec": "decode_spec",
    "_spec_in_log": "decode_spec_strictly",
    "_failure": "decode_failure",
    "_failure_in_log": "decode_failure_strictly",
    "_roster": "decode_roster",
    "_graph": "decode_graph",
}


@every
@settings(max_examples=40)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    good = DECODERS[name].good
    check(name, data.draw(st.one_of(st.binary(max_size=80), plain.map(pack), spoilt(good))))


@every
@settings(max_examples=20)
@given(data=st.data())
def test_what_was_encoded_is_read_as_it_was(name: str, data: st.DataObject) -> None:
    decoder = DECODERS[name]
    if decoder.encode is None or decoder.made is None:
        pytest.skip("it reads parts that must fit together")
    value = data.draw(decoder.made)
    assert decoder.decode(decoder.encode(value)) == value


@every
def test_what_is_announced_and_never_comes_takes_no_memory(name: str) -> None:
    check(name, b"")  # whatever is made once
    tracemalloc.start()
    try:
        for header in HEADERS:
            check(name, header)
            check(name, b"\x92\x01" + header)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1024 * 1024


def test_no_decoder_is_left_out() -> None:
    """Whatever decodes, wherever it is, is among those above or named as our own."""
    here = (Path(__file__).parents[1] / "fuzz" / "decoders.py").read_text()
    for path in SOURCE.rglob("*.py"):
        place, text = str(path.relative_to(SOURCE)), path.read_text()
        names = re.findall(r"^def (\w*decode\w*)\(", text, re.MULTILINE)
        codecs = re.findall(r"^(\w+)(?:: Codec.*)? = Codec\(", text, re.MULTILINE)
        for name in (*names, *(_PRIVATE.get(codec, codec) for codec in codecs)):
            if f"{place}:{name}" not in _OWN and place != "wire.py":
                assert re.search(rf"\b{name}\b", here), f"{place}:{name} is not fuzzed"


@settings(max_examples=300)
@given(
    host=st.text(st.characters(max_codepoint=300), max_size=8),
    port=st.sampled_from(["1", "80", "65535"]),
)
def test_what_passes_for_an_address_can_be_connected_to(host: str, port: str) -> None:
    """ZeroMQ refuses at once what it cannot parse: told by a broker, it would end the process."""
    address = f"{host}:{port}"
    try:
        parse_address(address)
    except ValueError:
        return
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    with socket:
        socket.linger = 0
        socket.connect(f"tcp://{address}")
