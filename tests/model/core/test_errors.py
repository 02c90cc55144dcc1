import pytest

from model.core.errors import first_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no such node\nat graph.cc:12", "no such node"),
        ("\n  \nno such node", "no such node"),
        ("", "ValueError"),
        ("\n", "ValueError"),
    ],
)
def test_reason_of_an_error_is_one_line_even_where_the_error_has_no_text(text, line):
    assert first_line(ValueError(text)) == line
