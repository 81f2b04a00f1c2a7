"""Traces are read as written, cut and dealt out as asked, and refused with file and row when malformed."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgesim.errors import ScenarioError
from edgesim.workload.traces import read_trace

if TYPE_CHECKING:
    from pathlib import Path

PS = 10**12
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05,110,27
"""
MOONCAKE = "".join(
    json.dumps({"timestamp": at, "input_length": prompt, "output_length": output, "hash_ids": [0, 1]}) + "\n"
    for at, prompt, output in ((0, 600, 6), (0, 700, 4), (40, 800, 3))
)
PLAIN = "user,prompt_tokens,arrived_at,output_tokens\nann,10,0.5,3\nbob,20,1.25,4\n"


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes, name: str = "trace.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def columns(trace) -> list[tuple[int, int, int]]:
    return list(zip(trace.at.tolist(), trace.prompt.tolist(), trace.output.tolist(), strict=True))


class TestFormats:
    def test_azure(self, write) -> None:
        """Dates count from the first request, to the 100 ns that the trace states."""
        expected = [(0, 4808, 10), (52_000_000_000, 3180, 8), (1_020_040_000_000, 110, 27)]
        assert columns(read_trace(write(AZURE))) == expected
        assert columns(read_trace(write(AZURE), "azure")) == expected

    def test_azure_2024_states_a_time_zone(self, write) -> None:
        """The offset of the 2024 traces is accepted."""
        text = AZURE.replace("9600,", "9600+00:00,").replace(":05,", ":05Z,")
        assert columns(read_trace(write(text))) == columns(read_trace(write(AZURE)))

    def test_mooncake(self, write) -> None:
        """Milliseconds from the start; hash_ids are left alone; ties keep the order of the file."""
        assert columns(read_trace(write(MOONCAKE, "m.jsonl"))) == [
            (0, 600, 6),
            (0, 700, 4),
            (40_000_000_000, 800, 3),
        ]

    def test_plain_csv(self, write) -> None:
        """Columns go by name, others are left alone, seconds count from the start of the run."""
        assert columns(read_trace(write(PLAIN))) == [(PS // 2, 10, 3), (5 * PS // 4, 20, 4)]

    def test_gzip_goes_by_content(self, write) -> None:
        """A packed file is read whatever its name."""
        assert columns(read_trace(write(gzip.compress(AZURE.encode())))) == columns(
            read_trace(write(AZURE, "b"))
        )

    def test_byte_order_mark_windows_lines_and_blank_lines(self, write) -> None:
        """What spreadsheets do to files does no harm."""
        text = b"\xef\xbb\xbf\r\n" + AZURE.replace("\n", "\r\n\r\n").encode()
        assert columns(read_trace(write(text))) == columns(read_trace(write(AZURE, "b")))

    def test_whole_floats_are_whole(self, write) -> None:
        """A table that went through floats is still a trace."""
        assert columns(read_trace(write(PLAIN.replace(",10,", ",10.0,")))) == columns(
            read_trace(write(PLAIN, "b"))
        )

    def test_replies_of_no_token_count_as_one(self, write) -> None:
        """The prefill ends with a token."""
        assert read_trace(write(PLAIN.replace(",0.5,3", ",0.5,0"))).output.tolist() == [1, 4]

    def test_clock_times_count_from_the_earliest(self, write) -> None:
        """Seconds since 1970 are recognised."""
        text = "arrived_at,prompt_tokens,output_tokens\n1700000001.5,1,1\n1700000001,2,1\n1700000003,3,1\n"
        assert columns(read_trace(write(text))) == [(0, 2, 1), (PS // 2, 1, 1), (2 * PS, 3, 1)]

    def test_rows_back_in_time_are_sorted_stably(self, write) -> None:
        """Order is that of time, then that of the file."""
        rows = "".join(f"{2 - number % 2},{number},1\n" for number in range(1, 1001))
        prompts = read_trace(write("arrived_at,prompt_tokens,output_tokens\n" + rows)).prompt
        assert prompts.tolist() == [*range(1, 1001, 2), *range(2, 1001, 2)]

    def test_a_comma_at_the_end_is_no_column(self, write) -> None:
        """Some tools write one."""
        assert columns(read_trace(write(AZURE.replace("\n", ",\n")))) == columns(
            read_trace(write(AZURE, "b"))
        )


class TestCutting:
    def trace(self, write):
        rows = "".join(f"{second},{second + 1},1\n" for second in range(10))
        return read_trace(write("arrived_at,prompt_tokens,output_tokens\n" + rows))

    def test_start_becomes_zero_and_stop_is_left_out(self, write) -> None:
        """The slice is half open."""
        cut = self.trace(write).cut(start=2.0, stop=5.0)
        assert columns(cut) == [(0, 3, 1), (PS, 4, 1), (2 * PS, 5, 1)]

    def test_scale_comes_after_cutting(self, write) -> None:
        """Half the time is twice the load, on what was kept."""
        cut = self.trace(write).cut(start=2.0, limit=2, time_scale=0.5)
        assert columns(cut) == [(0, 3, 1), (PS // 2, 4, 1)]

    def test_nothing_left_says_what_there_is(self, write) -> None:
        """An empty slice names the span of the trace."""
        with pytest.raises(ScenarioError) as caught:
            self.trace(write).cut(start=20.0, stop=30.5)
        (problem,) = caught.value.problems
        assert problem.text == "no request is left from 20 s to 30.5 s; the trace runs from 0 s to 9 s"

    def test_longer_than_a_run_may_be(self, write) -> None:
        """Stretching beyond 50 days is refused with the way out."""
        with pytest.raises(ScenarioError) as caught:
            self.trace(write).cut(time_scale=1e6)
        (problem,) = caught.value.problems
        assert problem.text == "the trace lasts 104 days; a run may last 50"
        assert problem.help == "keep a part of it with start, stop or limit"


ROW = "2023-11-16 18:17:06,5,5\n"


class TestMalformedRows:
    @pytest.mark.parametrize(
        ("row", "text", "column", "length"),
        [
            ("2023-11-16 18:17:06,many,5", "row 4: ContextTokens 'many' is not a whole number", 21, 4),
            ("2023-11-16 18:17:06,5.5,5", "row 4: ContextTokens '5.5' is not a whole number", 21, 3),
            ("2023-11-16 18:17:06,,5", "row 4: ContextTokens '' is not a whole number", None, 1),
            ("2023-11-16 18:17:06,nan,5", "row 4: ContextTokens 'nan' is not a whole number", 21, 3),
            ("2023-11-16 18:17:06,0,5", "row 4: ContextTokens is 0; a request has at least 1 token", 21, 1),
            ("2023-11-16 18:17:06,-7,5", "row 4: ContextTokens is -7; a request has at least 1 token", 21, 2),
            (
                "2023-11-16 18:17:06,7,-1",
                "row 4: GeneratedTokens is -1; a request has no fewer than 0 tokens",
                23,
                2,
            ),
            (
                "2023-11-16 18:17:06,9000000000,1",
                "row 4: ContextTokens is 9000000000, more than 2147483647",
                21,
                10,
            ),
            ("2023-11-16 18:17:06,7", "row 4: the row has 2 of 3 columns", None, 1),
            ("2023-11-16 18:17:06,7,1,9", "row 4: the row has 4 instead of 3 columns", None, 1),
            (
                "yesterday,7,1",
                "row 4: TIMESTAMP 'yesterday' is not a date and time such as 2023-11-16 18:17:03.97996",
                1,
                9,
            ),
            (
                "2023-13-16 18:17:06,7,1",
                "row 4: TIMESTAMP '2023-13-16 18:17:06' does not exist in the calendar",
                1,
                19,
            ),
        ],
    )
    def test_azure(self, write, row: str, text: str, column: int | None, length: int) -> None:
        """The problem names file, line and row, shows the line and points at the cell."""
        path = write(AZURE + row + "\n" + ROW)
        with pytest.raises(ScenarioError) as caught:
            read_trace(path)
        (problem,) = caught.value.problems
        assert (problem.text, problem.file, problem.line, problem.source) == (text, path, 5, row)
        assert (problem.column, problem.length) == (column, length)

    @pytest.mark.parametrize(
        ("line", "text"),
        [
            ('{"timestamp": 1, "input_length": 2}', "row 4: the key 'output_length' is missing"),
            (
                '{"timestamp": 1, ',
                "row 4: the line is not JSON: Expecting property name enclosed in double quotes (column 17)",
            ),
            ("[1, 2]", "row 4: the line is not a JSON object"),
            (
                '{"timestamp": null, "input_length": 2, "output_length": 1}',
                "row 4: timestamp None is not a number",
            ),
            (
                '{"timestamp": -5, "input_length": 2, "output_length": 1}',
                "row 4: timestamp is -5; a time is 0 or more",
            ),
            (
                '{"timestamp": 5, "input_length": [], "output_length": 1}',
                "row 4: input_length [] is not a whole number",
            ),
        ],
    )
    def test_mooncake(self, write, line: str, text: str) -> None:
        """JSON lines are diagnosed as rows are."""
        path = write(MOONCAKE + line + "\n", "m.jsonl")
        with pytest.raises(ScenarioError) as caught:
            read_trace(path)
        (problem,) = caught.value.problems
        assert (problem.text, problem.file, problem.line) == (text, path, 4)

    def test_five_are_shown_and_the_rest_counted(self, write) -> None:
        """A broken export does not flood the screen."""
        path = write(AZURE + "2023-11-16 18:17:06,x,5\n" * 12)
        with pytest.raises(ScenarioError) as caught:
            read_trace(path)
        assert [problem.line for problem in caught.value.problems] == [5, 6, 7, 8, 9, None]
        assert caught.value.problems[-1].text == "7 more of 15 rows are malformed"

    def test_the_report_reads_as_all_reports_do(self, write) -> None:
        """What the user sees."""
        path = write("arrived_at,prompt_tokens,output_tokens\n0.5,ten,3\n")
        with pytest.raises(ScenarioError) as caught:
            read_trace(path)
        assert str(caught.value) == (
            f"error: 1 problem in {path}\n\n{path}:2:5\n   2 | 0.5,ten,3\n     |     ^^^\n"
            "  row 1: prompt_tokens 'ten' is not a whole number"
        )

    def test_times_too_far_apart(self, write) -> None:
        """Times whose picoseconds would not fit are refused, not wrapped."""
        path = write(AZURE + "2053-11-16 18:17:06,5,5\n")
        with pytest.raises(ScenarioError) as caught:
            read_trace(path)
        assert (
            caught.value.problems[0].text == "rows 1 to 4: some times lie more than 100 days from the first"
        )


class TestUnusableFiles:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ("", "the trace file is empty"),
            ("\n\n", "the trace file is empty"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "the trace holds no request"),
            ("a,b\n1,2\n", "no known trace format has the columns a, b"),
            (
                "TIMESTAMP,ContextTokens\n",
                "azure traces have the column 'GeneratedTokens'; this file has TIMESTAMP, ContextTokens",
            ),
            (b"\xff\xfe\x00", "the trace file cannot be read: "),
            (b"\x1f\x8bbroken", "the trace file cannot be read: "),
        ],
    )
    def test_are_named(self, write, content: str | bytes, text: str) -> None:
        """Empty, foreign and broken files say which file and what is wrong."""
        path = write(content)
        with pytest.raises(ScenarioError) as caught:
            read_trace(path)
        (problem,) = caught.value.problems
        assert problem.text.startswith(text)
        assert problem.file == path

    def test_missing_file(self) -> None:
        """A file that is not there is said to be so."""
        with pytest.raises(ScenarioError) as caught:
            read_trace("nowhere/trace.csv")
        assert caught.value.problems[0].text == "there is no trace file 'nowhere/trace.csv'"

    def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is no trace."""
        with pytest.raises(ScenarioError, match="the trace file cannot be read"):
            read_trace(str(tmp_path))


class TestReplay:
    def test_requests_are_those_of_the_trace(self, make, everything, write) -> None:
        """Times and lengths come from the file; the prediction is the trace's mean reply."""
        rows = everything(make({"trace": {"path": write(AZURE)}}))
        assert rows["at"].tolist() == [0, 52_000_000_000, 1_020_040_000_000]
        assert rows["prompt"].tolist() == [4808, 3180, 110]
        assert rows["output"].tolist() == [10, 8, 27]
        assert set(rows["predicted"].tolist()) == {15}
        assert rows["bytes_up"].tolist() == [4 * 4808, 4 * 3180, 4 * 110]

    def test_the_run_may_end_first(self, make, everything, write) -> None:
        """Requests at or after the end of the run are left out."""
        path = write("arrived_at,prompt_tokens,output_tokens\n0,1,1\n1,2,1\n2,3,1\n")
        assert everything(make({"trace": {"path": path}}, duration=2.0))["prompt"].tolist() == [1, 2]

    @pytest.mark.parametrize("origins", ["spread", "round-robin", "random"])
    def test_origins(self, make, everything, write, origins: str) -> None:
        """Every node of the group gets its share, and only they."""
        rows = "".join(f"{number},5,1\n" for number in range(1000))
        path = write("arrived_at,prompt_tokens,output_tokens\n" + rows)
        requests = everything(make({"trace": {"path": path, "origins": origins}}))
        nodes, number = np.unique(requests["origin"], return_counts=True)
        assert nodes.tolist() == list(range(20, 30))
        assert np.abs(number - 100).max() <= {"spread": 3, "round-robin": 0, "random": 40}[origins]
        if origins == "round-robin":
            assert requests["origin"][:12].tolist() == [*range(20, 30), 20, 21]

    def test_problems_name_the_workload(self, make, write) -> None:
        """The path of the problem leads to the key of the scenario; all traces are checked."""
        keys = {"one": {"path": "nowhere.csv"}, "two": {"path": write("a,b\n")}}
        with pytest.raises(ScenarioError) as caught:
            make(keys)
        assert [problem.path for problem in caught.value.problems] == [
            ("workloads", "one", "path"),
            ("workloads", "two", "path"),
        ]

    def test_no_sessions_on_traces(self, make, write) -> None:
        """A trace says every request itself."""
        keys = {"path": write(AZURE), "session": {"turns": 2, "think_time": "1 s"}}
        with pytest.raises(ScenarioError, match="drop either 'session' or 'path'"):
            make({"trace": keys})


class TestPublicTraces:
    def test_azure_2023_code(self, reference_data: Path) -> None:
        """All 8,819 requests of the code trace, with the stated means and length."""
        trace = read_trace(str(reference_data / "traces" / "azure2023_code.csv"))
        assert len(trace) == 8819
        assert round(float(trace.prompt.mean())) == 2048
        assert round(float(trace.output.mean())) == 28
        assert trace.at[0] == 0
        assert trace.at[-1] == pytest.approx(3436 * PS, rel=0.001)

    def test_mooncake_synthetic(self, reference_data: Path) -> None:
        """All 3,993 requests of the packed synthetic trace."""
        trace = read_trace(str(reference_data / "traces" / "mooncake_synthetic.jsonl.gz"))
        assert len(trace) == 3993
        assert trace.prompt[:3].tolist() == [40160, 36640, 23769]
        assert trace.at[-1] == 1_022_025 * PS // 1000
