"""The exception tree: complete, one class to a code, drawn as it is."""

import re

import grpc
import pytest

from services.runtime import errors
from services.runtime.errors import TgfleetError

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, TgfleetError) and value is not TgfleetError
]
ON_THE_WIRE = [cls for cls in CLASSES if cls is not errors.SettingsError]


def test_each_code_that_we_use_has_exactly_one_class() -> None:
    codes = [cls.code for cls in ON_THE_WIRE]
    assert len(set(codes)) == len(codes)
    unused = {"OK", "CANCELLED", "UNKNOWN", "OUT_OF_RANGE", "DATA_LOSS"}
    assert set(codes) == {code.name for code in grpc.StatusCode} - unused


@pytest.mark.parametrize("cls", CLASSES)
def test_reasons_are_what_error_info_asks_for(cls: type[TgfleetError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]", cls.default_reason)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {cls.__name__ for cls in CLASSES}


def test_an_invalid_argument_without_a_field_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        errors.InvalidArgument("No field.")  # type: ignore[call-arg]


def test_metadata_is_a_copy() -> None:
    given = {"a": "b"}
    error = errors.NotFound("No.", metadata=given)
    given["a"] = "c"
    assert error.metadata == {"a": "b"}
