"""The pages: HTML that the server makes of the same answers as the API's; JavaScript only where people touch them."""
