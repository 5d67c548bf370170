"""The domain of web traffic: how each service and endpoint group answered, minute by minute."""
