"""What is compiled after an installation: the loops by which each domain reads its examples."""

import pytest

from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.running.compiling import compile_loops

READERS = [domain.name for domain in all_domains() if domain.examples]


def test_each_domain_with_compiled_loops_is_read():
    assert READERS == ["blocks", "weblogs"]
    taken = dict(compile_loops())
    assert sorted(taken) == READERS and all(seconds > 0 for seconds in taken.values())


@pytest.mark.parametrize("name", READERS)
def test_every_example_is_a_record(name, new_home, tmp_path):
    domain, home = domain_named(name), new_home()
    log = tmp_path / "examples.log"
    log.write_text("".join(f"{line}\n" for line in domain.examples))
    read = domain.read(home.store, home.settings, [str(log)])
    assert (read.records, read.dead_letters) == (len(domain.examples), 0) and read.items
