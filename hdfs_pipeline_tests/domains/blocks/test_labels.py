"""Labels of blocks: both forms, and what is refused with which words."""

import gzip
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.errors import DataError


def labels(folder: Path, text: str) -> dict[int, tuple[str, str]]:
    path = folder / "labels.csv"
    path.write_text(text)
    table = read_labels(path)
    assert table.column_names == ["block_id", "label", "kind"]
    rows = table.to_pylist()
    found = {row["block_id"]: (row["label"], row["kind"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_labels_as_published_with_hdfs_v1(tmp_path: Path) -> None:
    found = labels(tmp_path, "BlockId,Label\nblk_-1608999687919862906,Normal\nblk_7503483334202473044,Anomaly\n")
    assert found == {-1608999687919862906: ("normal", "normal"), 7503483334202473044: ("anomaly", "anomaly")}


def test_labels_with_kinds(tmp_path: Path) -> None:
    text = "block_id,label,kind\nblk_1,anomaly,volume_full\n2,normal,\nblk_3,ambiguous,dead_node\n"
    assert labels(tmp_path, text) == {
        1: ("anomaly", "volume_full"),
        2: ("normal", "normal"),
        3: ("ambiguous", "dead_node"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "kind,Label,block_id\nx,Anomaly,blk_1\n",  # another order
        "block_id,label,kind\r\nblk_1,anomaly,x\r\n",
        'block_id,label,kind\n"blk_1","anomaly","x"\n',
        "block_id,label,kind\n blk_1 , ANOMALY , x \n",
        "block_id,label,kind\nblk_1,anomaly,x",
        "\ufeffblock_id,label,kind\nblk_1,anomaly,x\n",
        "block_id,label,kind\nblk_1,anomaly,x\nblk_1,anomaly,x\n",  # the same twice
        "block_id,label,kind,source\nblk_1,anomaly,x,client\n",
    ],
)
def test_forms_of_one_label(tmp_path: Path, text: str) -> None:
    assert labels(tmp_path, text) == {1: ("anomaly", "x")}


@pytest.mark.parametrize("name", ["labels[1].csv", "labels?.csv", "labels*.csv", "**.csv", "it's.csv", "a=b/c=d.csv"])
def test_the_file_that_is_named_is_read_and_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / "labels1.csv").write_text("block_id,label\nblk_1,normal\n")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("block_id,label\nblk_2,anomaly\n")
    assert read_labels(path).to_pylist() == [{"block_id": 2, "label": "anomaly", "kind": "anomaly"}]


def test_no_rows_are_no_labels(tmp_path: Path) -> None:
    assert labels(tmp_path, "BlockId,Label\n") == {}


def test_the_widest_ids_are_read(tmp_path: Path) -> None:
    found = labels(tmp_path, f"block_id,label\nblk_{2**63 - 1},normal\nblk_{-(2**63)},normal\n")
    assert set(found) == {2**63 - 1, -(2**63)}


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("blk_1,normal\nblk_2,broken\n", 3),
        ("blk_1,normal\nblk_2,\n", 3),
        ("blk_x,normal\n", 2),
        (",normal\n", 2),
        ("blk_9223372036854775808,normal\n", 2),
        ("blk_1,normal\nblk_2,normal\n5 6,anomaly\nblk_3,wrong\n", 4),
    ],
)
def test_what_is_no_label_is_named_with_its_line(tmp_path: Path, row: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"labels\.csv, line {line}: .*normal, anomaly, ambiguous"):
        labels(tmp_path, f"block_id,label\n{row}")


def test_a_bad_label_far_down_is_named_with_its_line(tmp_path: Path) -> None:
    rows = [f"blk_{number},normal" for number in range(60_000)]
    rows[54_321] = "blk_54321,odd"
    with pytest.raises(DataError, match=r"line 54323: "):
        labels(tmp_path, "\n".join(["BlockId,Label", *rows]))


@pytest.mark.parametrize("rows", ["blk_7,normal,\nblk_7,anomaly,x", "blk_7,anomaly,x\n7,anomaly,y"])
def test_a_block_with_two_labels_is_named(tmp_path: Path, rows: str) -> None:
    with pytest.raises(DataError, match="blk_7 has two different labels"):
        labels(tmp_path, f"block_id,label,kind\n{rows}\n")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "block_id,kind\nblk_1,x\n", "label\nnormal\n", "", "\n\n"])
def test_a_file_without_the_columns_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"labels\.csv: "):
        labels(tmp_path, text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(gzip.compress(b"block_id,label\nblk_1,normal\n") + b"\xff\0\xfe")
    with pytest.raises(DataError, match=r"labels\.csv"):
        read_labels(path)


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_no_file_is_said_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file of labels"):
        read_labels(tmp_path / name)


def test_published_labels_are_read(shared: Path) -> None:
    found = read_labels(shared / "hdfs" / "HDFS_first20k_labels.csv")
    assert found.num_rows == 1782
    assert sum(label == "anomaly" for label in found["label"].to_pylist()) == 43
