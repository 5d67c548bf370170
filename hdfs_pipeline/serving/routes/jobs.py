"""Jobs that requests have begun."""

from fastapi import APIRouter, Request, Response

from hdfs_pipeline.serving.home import TheHome, needs
from hdfs_pipeline.serving.jobs import Job
from hdfs_pipeline.serving.shapes.jobs import JobState

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.get("/{identity}", response_model=JobState, dependencies=[needs("read")])
async def one(request: Request, home: TheHome, identity: str) -> Response:
    """A job: how far it is, and once it has ended its result or what went wrong. The server forgets it when it ends."""
    job = home.jobs.find(identity)
    return await home.cache.respond(request, lambda: state(job).model_dump(), fresh_s=0.0)


def state(job: Job) -> JobState:
    """A job as the API shows it."""
    return JobState(**job.to_json(), url=address(job))


def address(job: Job) -> str:
    """Where to ask for a job."""
    return f"{router.prefix}/{job.id}"
