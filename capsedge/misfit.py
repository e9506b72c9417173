"""One-line descriptions of a user's value that does not fit its type: the expected type and the given value.

msgspec's own message (``Expected `int`, got `str` - at `$.train.epochs` ``) does not show the value.
"""

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

LONGEST = 60  # characters of a value in the message


def misfit(value: Any, kind: Any, name: str = "") -> str:
    """Find the first value that does not fit its type.

    Args:
        value: Plain values, such as those of a parsed TOML file.
        kind: Type that msgspec converts the value to, made of structs, lists as tuples, choices, and plain values
            with bounds, like a recipe.
        name: Name of the value; "" for the whole.

    Returns:
        One line, such as `train.epochs: expected an integer of 0 or more, got 'abc'`; "" if all values fit.
    """
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        rule = error.__cause__  # set if each value fits but their combination does not
    else:
        return ""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        hints = get_type_hints(kind, include_extras=True)
        named = [field.name for field in msgspec.structs.fields(kind) if field.required or field.name in value]
        inner = (misfit(value.get(key), hints[key], f"{name}.{key}" if name else key) for key in named)
        return next(filter(None, inner), str(rule))
    if _is_list(kind) and isinstance(value, list):
        value = next(each for each in value if misfit(each, get_args(kind)[0]))
    return f"{name}: expected {_expected(kind)}, got {_given(value)}"


def _is_list(kind: Any) -> bool:
    """Whether a type is a list of any length."""
    return get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis


def _expected(kind: Any) -> str:
    """Describe the values of a type."""
    bare, meta = (kind.__origin__, kind.__metadata__[0]) if get_origin(kind) is Annotated else (kind, msgspec.Meta())
    if meta.description:
        return str(meta.description)
    if _is_list(bare):
        return f"a list in which each is {_expected(get_args(bare)[0])}"
    if get_origin(bare) is tuple:
        return f"[{', '.join(map(_expected, get_args(bare)))}]"
    if get_origin(bare) is Literal:
        return f"one of {', '.join(get_args(bare))}"
    if issubclass(bare, msgspec.Struct):
        return f"a section with keys such as {', '.join(bare.__struct_fields__[:3])}"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
    return words[bare] + _bounds(meta)


def _bounds(meta: msgspec.Meta) -> str:
    low = "" if meta.ge is None else f" of {meta.ge:,} or more"
    if meta.gt is not None:
        low = f" above {meta.gt:,}"
    high = meta.lt if meta.le is None else meta.le
    if high is None:
        return low
    below = "below " if meta.lt is not None else ""
    return f" from {meta.ge:,} to {below}{high:,}" if meta.ge is not None else f"{low} to {below}{high:,}"


def _given(value: Any) -> str:
    """A value roughly as the user wrote it, shortened if it is long."""
    match value:
        case None:
            text = "nothing"
        case bool():
            text = str(value).lower()
        case dict():
            text = "a section"
        case list():
            text = f"[{', '.join(map(_given, value))}]"
        case str():
            text = f"'{value}'"
        case _:
            text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
