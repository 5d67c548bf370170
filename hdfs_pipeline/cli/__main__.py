"""`python -m hdfs_pipeline.cli`: the command without its script."""

from hdfs_pipeline.cli import main

main()
