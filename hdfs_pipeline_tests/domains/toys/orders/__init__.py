"""Orders of a shop: a domain that only the tests have, as small as one can be."""
