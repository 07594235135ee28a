from thence.cli.shared.render import ASCII_BLOCKS, POINTS_MAX, course_lines, courses, sparkline


def test_heights_go_from_the_least_value_to_the_greatest():
    assert sparkline([0, 7, 3.5], 10) == "▁█▅"
    assert sparkline([2, 2, 2], 10) == "▁▁▁"
    assert sparkline([0, 1], 10, ASCII_BLOCKS) == "_#"
    assert sparkline([-1.7e308, 1.7e308, 0], 10) == "▁█▅"
    assert sparkline([5e-324, 0.0], 10) == "▁▁"
    for values in ([], ["a"], [1, None], [True, False], [10**400, 1]):
        assert sparkline(values, 10) == ""


def test_narrow_line_shows_the_last_value_of_each_part():
    assert sparkline([0, 0, 9, 9, 9, 0], 2) == "█▁"
    assert sparkline(list(range(100)), 8) == "▁▂▃▄▅▆▇█"


def test_course_keeps_few_points_and_the_range_of_all_turns():
    turns = 1_000
    rows = [{"turn": turn, "global/x": turn % 7, "global/s": "a"} for turn in range(turns)]
    number, text = courses(rows, turns, ["global/x", "global/s"])
    assert (number.first, number.last, number.minimum, number.maximum) == (0, 999 % 7, 0, 6)
    assert len(number.values) == len(number.turns) == POINTS_MAX
    assert number.turns[-1] == turns - 1
    assert number.values == [turn % 7 for turn in number.turns]
    assert (text.first, text.last, text.minimum) == ("a", "a", None)


def test_lines_keep_to_the_width_and_their_own_line():
    rows = [{"turn": 0, "place/\x1b[31m\n": 1, "global/s": "x" * 500}]
    for width in (40, 80):
        lines = course_lines(
            courses(rows, 1, ["place/\x1b[31m\n", "global/s"]), width, has_blocks=True
        )
        assert len(lines) == 2
        assert all(line.isprintable() and len(line) <= width for line in lines)
