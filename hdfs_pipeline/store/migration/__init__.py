"""Homes of older releases become homes of this one: the rows of the store, the folders of the models.

This room may name domains: it is about what older releases called things.
"""
