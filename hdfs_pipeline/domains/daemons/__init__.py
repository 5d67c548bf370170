"""The domain of daemons: what each of them writes that names no block, minute by minute."""
