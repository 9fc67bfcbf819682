from __future__ import annotations

import pytest

from driftline.core.sse import Message, StreamReader

STREAM = (
    "retry: 1000\n\n: heartbeat\n\n"
    'id: 3\nevent: job.running\ndata: {"seq": 3}\n\n'
    'id: 4\r\nevent: x\r\ndata: {"a":\r\ndata: "Ω"}\r\n\r\n'
    'id: 5\ndata: {"seq": 5}\n'
).encode()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_messages_come_out_however_the_bytes_are_cut(size):
    reader = StreamReader()
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    found = [message for chunk in chunks for message in reader.feed(chunk)]
    assert found == [Message("3", {"seq": 3}), Message("4", {"a": "Ω"})]  # the last one is not complete
    assert reader.retry_s == 1.0
