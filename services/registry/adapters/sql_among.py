"""`column IN (many values)` with the values as one parameter: each dialect has its own way. One parameter for
each value costs SQLAlchemy a millisecond a thousand, and both databases stop at some 32,000 of them."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, func, literal, select


def among(dialect_name: str, column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """The condition that the column has one of the values: texts or whole numbers."""
    if dialect_name == "sqlite":
        listed = func.json_each(literal(json.dumps(list(values)), Text)).table_valued("value")
        return column.in_(select(listed.c.value))
    return column == any_(literal(list(values), ARRAY(column.type)))
