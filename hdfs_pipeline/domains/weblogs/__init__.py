"""Web requests, from the access logs of web servers."""
