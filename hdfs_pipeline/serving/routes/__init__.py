"""The routes of the REST API, a file for each thing that they are about."""
