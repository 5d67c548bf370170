"""`python -m hdfs_pipeline`: the command, where the installed script is not on the path."""

from hdfs_pipeline.cli import main

main()
