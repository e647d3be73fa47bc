"""Which field of a broken request is to blame."""

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.malformed import field_that_is_not_text

BAD = "QQQQ"


def broken(values: dict[str, object]) -> bytes:
    """A Struct of these values, with the placeholder made into something that is not UTF-8."""
    message = Struct()
    message.update(values)
    data = message.SerializeToString().replace(BAD.encode(), b"\xff\xfe\xfd\xfc")
    with pytest.raises(DecodeError):
        Struct.FromString(data)
    return data


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({BAD: 1}, "fields[0].key"),
        ({"a": BAD}, "fields[0].value.string_value"),
        ({"a": ["x", 1.5, BAD]}, "fields[0].value.list_value.values[2].string_value"),
    ],
)
def test_the_path_of_the_field_is_found(values: dict[str, object], path: str) -> None:
    assert field_that_is_not_text(broken(values), Struct.DESCRIPTOR) == path


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False) | st.booleans()))
def test_a_good_message_has_no_such_field(values: dict[str, object]) -> None:
    message = Struct()
    message.update(values)
    assert field_that_is_not_text(message.SerializeToString(), Struct.DESCRIPTOR) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    field_that_is_not_text(data, Struct.DESCRIPTOR)
