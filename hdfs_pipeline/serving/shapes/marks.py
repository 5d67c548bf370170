"""Why an item in a list is anomalous."""

from hdfs_pipeline.serving.shapes.base import Shape


class Marked(Shape):
    """Why an item is anomalous, and who says so; `item` is its id in the domain of the list."""

    item: str
    entity: str
    kind: str
    severity: str
    reason: str
    detector: str
    first_time: str
    last_time: str
