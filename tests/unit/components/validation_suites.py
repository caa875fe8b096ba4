"""Generated suites for the comparison of compiled expectations with Great Expectations' engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from tests.unit.components.validation_tables import INTEGERS, NUMBERS, TEXTS, VALUES

COLUMNS = st.sampled_from(list(VALUES))
MOSTLY: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"mostly": 0.5}, {"mostly": 0.75}, {"mostly": 1.0}, {"mostly": 0}, {"mostly": 2 / 3}]
)
LIMITS = st.sampled_from(
    [
        -2,
        0,
        1,
        1.5,
        3,
        9,
        0.5,
        "2024-01-01",
        "2024-01-02",
        "1970-01-01T00:00:00",
        "2024-01-01T12:30:01.250000",
    ]
)
MEMBERS = st.lists(
    st.one_of(
        INTEGERS,
        NUMBERS.filter(lambda x: x == x),
        TEXTS,
        st.none(),
        st.booleans(),
        st.sampled_from(["2024-01-01", 2**60]),
    ),
    max_size=6,
)
REGEXES = st.sampled_from(
    [
        "a",
        "^a",
        "a$",
        "^a$",
        r"\d",
        r"^\d+$",
        r"\w",
        r"^\w+$",
        r"\s",
        r"^\S*$",
        r"[A-Z]\d",
        "^[a-z]+$",
        "a|b",
        "^a|b$",
        r"^[\w.]+@[\w.]+\.org$",
        ".",
        "^.$",
        "(?i)É",
        r"\bA",
        "(?=a)",
        "^(a|b)$",
        "a{2}",
        "[^a]",
        "#",
        "(?s)^.$",
        "$",
    ]
)
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {}, {}]
    + [
        {"row_condition": text, "condition_parser": "pandas"}
        for text in (
            "i > 2",
            "j > 2",
            "j != 3",
            "i > 0 and k < 5",
            "(i > 0) & (k < 5)",
            "s == 'a'",
            "t != 'a'",
            "b == True",
            "i in [1, 2]",
            "t not in ['a', 'b']",
            "not i > 2",
            "`i` >= 0",
            "0 < i <= 5",
            "t.isnull()",
            "f > 0.5 or i < 0",
            "i > 100",
            "g != 1",
            "~(j > 2)",
            "i + 1 > 3",
            "s > 'a'",
            "t in ['a']",
            "j.notnull()",
            "1.5 < g",
        )
    ]
    + [
        {"row_condition": text, "condition_parser": "great_expectations"}
        for text in (
            'col("i") > 2',
            'col("t").notnull()',
            'col("s") == "a"',
            "col(\"t\") != 'a'",
            'col("f") <= 1.5',
        )
    ]
    + [
        {"row_condition": tree}
        for tree in (
            {"type": "comparison", "column": {"name": "i"}, "operator": ">", "parameter": 1},
            {"type": "comparison", "column": {"name": "t"}, "operator": "NOT_IN", "parameter": ["a", "b"]},
            {"type": "nullity", "column": {"name": "g"}, "is_null": False},
            {
                "type": "and",
                "conditions": [
                    {"type": "comparison", "column": {"name": "i"}, "operator": ">", "parameter": 0},
                    {"type": "nullity", "column": {"name": "t"}, "is_null": True},
                ],
            },
        )
    ]
)
SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0])


def _limits(ends: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "min_value": ends,
            "max_value": ends,
            "strict_min": st.booleans(),
            "strict_max": st.booleans(),
        },
    ).filter(lambda kwargs: sum(key in kwargs for key in ("min_value", "max_value")) >= least)


def _with(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields)


@st.composite
def _ranges(draw: st.DrawFn) -> dict[str, Any]:
    shares = sorted(set(draw(st.lists(SHARES, min_size=1, max_size=3))))
    ends = st.one_of(st.none(), st.sampled_from([-2, 0, 1, 1.5, 3]))
    return {
        "quantile_ranges": {"quantiles": shares, "value_ranges": [[draw(ends), draw(ends)] for _ in shares]}
    }


_NAMES = st.lists(COLUMNS, min_size=2, max_size=3)
_ALIKE = st.sampled_from([["i", "k"], ["s", "u"], ["s", "t"], ["f", "g"], ["d", "e"], ["v", "w"], ["b", "c"]])
_IGNORED = st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"])
_PAIRS = st.one_of(
    st.sampled_from([("i", "k"), ("i", "f"), ("j", "g"), ("s", "t"), ("d", "e"), ("v", "w"), ("c", "b")]),
    st.tuples(COLUMNS, COLUMNS),
)
KINDS: dict[str, tuple[str, st.SearchStrategy[dict[str, Any]]]] = {
    "expect_column_values_to_be_null": ("map", _with()),
    "expect_column_values_to_not_be_null": ("map", _with()),
    "expect_column_values_to_be_unique": ("map", _with()),
    "expect_column_values_to_be_of_type": (
        "map",
        _with(
            type_=st.sampled_from(
                [
                    "int",
                    "int64",
                    "float",
                    "float64",
                    "bool",
                    "str",
                    "object",
                    "datetime64",
                    "string_types",
                    "float32",
                ]
            )
        ),
    ),
    "expect_column_values_to_be_in_type_list": (
        "map",
        _with(
            type_list=st.lists(
                st.sampled_from(
                    [
                        "int",
                        "int64",
                        "float64",
                        "bool",
                        "str",
                        "object",
                        "datetime64[ns]",
                        "VARCHAR",
                        "float32",
                    ]
                ),
                min_size=1,
            )
        ),
    ),
    "expect_column_values_to_be_in_set": ("map", _with(value_set=MEMBERS)),
    "expect_column_values_to_not_be_in_set": ("map", _with(value_set=MEMBERS)),
    "expect_column_values_to_be_between": ("map", _limits(LIMITS, 1)),
    "expect_column_values_to_be_increasing": (
        "map",
        st.sampled_from([{}, {"strictly": True}, {"strictly": False}]),
    ),
    "expect_column_values_to_be_decreasing": ("map", st.sampled_from([{}, {"strictly": True}])),
    "expect_column_values_to_match_regex": ("map", _with(regex=REGEXES)),
    "expect_column_values_to_not_match_regex": ("map", _with(regex=REGEXES)),
    "expect_column_values_to_match_regex_list": (
        "map",
        _with(regex_list=st.lists(REGEXES, min_size=1, max_size=3), match_on=st.sampled_from(["any", "all"])),
    ),
    "expect_column_values_to_not_match_regex_list": ("map", _with(regex_list=st.lists(REGEXES, min_size=1))),
    "expect_column_value_lengths_to_be_between": ("map", _limits(st.integers(0, 3), 1)),
    "expect_column_value_lengths_to_equal": ("map", _with(value=st.integers(0, 3))),
    "expect_column_mean_to_be_between": ("column", _limits(LIMITS)),
    "expect_column_median_to_be_between": ("column", _limits(LIMITS)),
    "expect_column_min_to_be_between": ("column", _limits(LIMITS)),
    "expect_column_max_to_be_between": ("column", _limits(LIMITS)),
    "expect_column_sum_to_be_between": ("column", _limits(LIMITS)),
    "expect_column_stdev_to_be_between": ("column", _limits(st.sampled_from([0, 1, 2.5]))),
    "expect_column_quantile_values_to_be_between": ("column", _ranges()),
    "expect_column_unique_value_count_to_be_between": ("column", _limits(st.integers(0, 9))),
    "expect_column_proportion_of_unique_values_to_be_between": ("column", _limits(SHARES)),
    "expect_column_proportion_of_non_null_values_to_be_between": ("column", _limits(SHARES)),
    "expect_column_distinct_values_to_be_in_set": ("column", _with(value_set=MEMBERS)),
    "expect_column_distinct_values_to_contain_set": ("column", _with(value_set=MEMBERS)),
    "expect_column_distinct_values_to_equal_set": ("column", _with(value_set=MEMBERS)),
    "expect_column_most_common_value_to_be_in_set": (
        "column",
        st.fixed_dictionaries({"value_set": MEMBERS}, optional={"ties_okay": st.booleans()}),
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": ("pair", st.sampled_from([{}, {"or_equal": True}])),
    "expect_column_pair_values_to_be_equal": ("pair", _with()),
    "expect_compound_columns_to_be_unique": ("several", _with(column_list=_NAMES)),
    "expect_select_column_values_to_be_unique_within_record": ("several", _with(column_list=_ALIKE)),
    "expect_column_to_exist": (
        "table",
        st.sampled_from(
            [
                {"column": "i"},
                {"column": "zz"},
                {"column": "j", "column_index": 1},
                {"column": "j", "column_index": 99},
            ]
        ),
    ),
    "expect_table_row_count_to_be_between": ("table", _limits(st.sampled_from([0, 3, 20]))),
    "expect_table_row_count_to_equal": ("table", _with(value=st.integers(0, 9))),
    "expect_table_column_count_to_be_between": (
        "table",
        st.sampled_from([{"min_value": 3}, {"max_value": 3}, {}]),
    ),
    "expect_table_column_count_to_equal": ("table", _with(value=st.sampled_from([14, 3]))),
    "expect_table_columns_to_match_ordered_list": (
        "table",
        _with(
            column_list=st.sampled_from(
                [list(VALUES), ["i", "j"], ["j", "i", "zz"], [*list(VALUES), "zz"], ["i", "i"]]
            )
        ),
    ),
    "expect_table_columns_to_match_set": (
        "table",
        _with(
            column_set=st.sampled_from([list(VALUES), ["i", "j", "j"], ["j", "zz"], [*list(VALUES), "zz"]]),
            exact_match=st.booleans(),
        ),
    ),
}


_FITTING = (
    (("regex", "lengths"), "stu"),
    (("mean", "median", "sum", "stdev", "quantile"), "ijkfg"),
    (("between", "creasing"), "ijkfgdevw"),
    (("_set", "most_common"), "ijfgstbcd"),
)
"""Words in a kind → columns that it is mostly drawn for."""


@st.composite
def expectations(draw: st.DrawFn, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, Any]:
    """One expectation in Great Expectations' JSON that its parser takes."""
    kind = draw(st.sampled_from(list(kinds)))
    domain, strategy = KINDS[kind]
    kwargs = dict(draw(strategy))
    if domain in ("map", "pair", "several"):
        kwargs |= draw(MOSTLY)
    if domain in ("map", "column"):
        fitting = next(
            (names for words, names in _FITTING if any(word in kind for word in words)), "ijkfgstubcdevw"
        )
        kwargs["column"] = draw(st.sampled_from(fitting * 4 + "".join(VALUES)))
    if domain == "pair":
        kwargs["column_A"], kwargs["column_B"] = draw(_PAIRS)
        ignored = ["neither", "both_values_are_missing", "either_value_is_missing"]
        kwargs |= {"ignore_row_if": draw(st.sampled_from(ignored))}
    if domain == "several":
        kwargs |= {"ignore_row_if": draw(_IGNORED)}
    if domain != "table" or kind.startswith("expect_table_row"):
        kwargs |= draw(CONDITIONS)
    return {"type": kind, "kwargs": kwargs, "severity": draw(st.sampled_from(["critical", "warning"]))}
