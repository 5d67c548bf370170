import pytest

from hdfs_pipeline.domains.namenode.object_names import parse_object_name

NAME = "Hadoop:service=NameNode,name=RpcActivityForPort8020"


@pytest.mark.parametrize(
    "pattern",
    [
        NAME,
        "Hadoop:name=RpcActivityForPort8020,service=NameNode",
        "Hadoop:*",
        "*:*",
        "Hadoop:service=NameNode,*",
        "Hadoop:name=Rpc*,*",
        "Hadoop:name=Rpc*,service=NameNode",
        "Had?op:name=RpcActivityForPort802?,service=*",
    ],
)
def test_what_meets_a_pattern(pattern: str) -> None:
    assert parse_object_name(pattern).matches(parse_object_name(NAME))


@pytest.mark.parametrize(
    "pattern",
    [
        "java.lang:*",
        "Hadoop:service=NameNode",
        "Hadoop:name=rpc*,*",
        "Hadoop:name=RpcActivityForPort[0-9]*,*",
        "Hadoop:service=NameNode,name=RpcActivityForPort8020,sub=x",
        "Hadoop:sub=*,*",
    ],
)
def test_what_does_not(pattern: str) -> None:
    assert not parse_object_name(pattern).matches(parse_object_name(NAME))


def test_quoted_values_may_hold_commas() -> None:
    found = parse_object_name('a:x="1,2=3",y=4')
    assert dict(found.keys) == {"x": '"1,2=3"', "y": "4"}


@pytest.mark.parametrize(
    "text", ["", "Hadoop", "Hadoop:", "Hadoop:service", "Hadoop:=x", "Hadoop:a=1,a=2", "Hadoop:a=1,,b=2"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="no JMX object name"):
        parse_object_name(text)
