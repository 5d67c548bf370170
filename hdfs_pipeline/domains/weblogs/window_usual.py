"""What is usual of a group at each of its minutes: medians of the hour before it, from what happened alone.

A minute's baseline are the 60 minutes before it, from the first of them that had a request on; minutes without one
count as 0 requests. Of a minute without requests there is a row only where requests are usual: silence is a sign only
there. So a baseline depends on nothing but the requests of that hour, and stream and batch have the same one.
"""

from typing import Final

import numpy as np
from numba import njit

HISTORY: Final = 60
"""Minutes of the trailing baseline."""
COLUMNS: Final = (
    "usual_minutes", "usual_requests", "spread_requests", "usual_errors", "spread_errors", "usual_ms", "spread_ms",
    "usual_p50_ms", "spread_p50_ms", "timed_minutes", "before_requests", "before_errors", "before_p50_ms",
    "usual_clients",
)  # fmt: skip
"""The columns of a baseline: how many minutes it has; medians and median absolute deviations of requests, of the share
of errors (per mille), of the mean and of the median response time (ms, NaN without any); how many minutes have a
response time; what the very minute before had (0, and NaN without a response time); and the
median number of clients."""
WHOLE: Final = ("usual_minutes", "timed_minutes", "before_requests", "before_errors")
"""Those of them that are whole numbers."""


@njit(cache=True, nogil=True)
def _middle(values):
    """The median of sorted values; NaN of none."""
    count = len(values)
    if not count:
        return np.nan
    return (values[(count - 1) // 2] + values[count // 2]) / 2


@njit(cache=True, nogil=True)
def _middle_and_spread(values):
    values.sort()
    middle = _middle(values)
    apart = np.abs(values - middle)
    apart.sort()
    return middle, _middle(apart)


@njit(cache=True, nogil=True)
def _baseline(minutes, requests, errors, clients, mean, middle, first, end, minute, row):
    """Fill `row` with the baseline of a minute, of which the rows `first` to `end` lie in the hour before it."""
    row[:] = 0
    row[5:9] = row[12] = np.nan
    known = end - first
    if not known:
        return
    span = minute - minutes[first]
    counts = np.zeros(span)
    people = np.zeros(span)
    shares = np.empty(known)
    times = np.empty((2, known))
    timed = 0
    for at in range(known):
        counts[at] = requests[first + at]
        people[at] = clients[first + at]
        shares[at] = 1000.0 * errors[first + at] / requests[first + at]
        if not np.isnan(mean[first + at]):
            times[0, timed], times[1, timed] = mean[first + at], middle[first + at]
            timed += 1
    row[0] = span
    row[1], row[2] = _middle_and_spread(counts)
    row[3], row[4] = _middle_and_spread(shares)
    row[5], row[6] = _middle_and_spread(times[0, :timed])
    row[7], row[8] = _middle_and_spread(times[1, :timed])
    row[9] = timed
    row[13] = _middle_and_spread(people)[0]
    if minutes[end - 1] == minute - 1:
        row[10], row[11], row[12] = requests[end - 1], errors[end - 1], middle[end - 1]


@njit(cache=True, nogil=True)
def usual_windows(starts, minutes, requests, errors, clients, mean, middle, begins, ends):
    """The windows of g groups, with their baselines.

    Group i has the rows `starts[i]` to `starts[i + 1]` of `minutes`, `requests`, `errors`, `clients` (n,) int64, `mean`
    and `middle` (n,) float64 (mean and median response time, ms, NaN without), in the order of their minutes, none
    without requests; its windows are wanted from minute `begins[i]` to `ends[i]`. Returns, by window, the group, the
    minute, the row or -1 where it had no request, and the baseline (k, 14) float64, `COLUMNS`.
    """
    size = 16
    place = np.empty((size, 3), np.int64)
    usual = np.empty((size, 14))
    count = 0
    for group in range(len(starts) - 1):
        first = end = starts[group]
        minute = begins[group]
        while minute < ends[group]:
            while end < starts[group + 1] and minutes[end] < minute:
                end += 1
            while first < end and minutes[first] < minute - 60:
                first += 1
            there = end < starts[group + 1] and minutes[end] == minute
            if not there and first == end:  # nothing in the hour before: on to the next minute with requests
                if end == starts[group + 1]:
                    break
                minute = minutes[end]
                continue
            if count == size:
                size *= 2
                place = np.concatenate((place, np.empty_like(place)))
                usual = np.concatenate((usual, np.empty_like(usual)))
            _baseline(minutes, requests, errors, clients, mean, middle, first, end, minute, usual[count])
            if there or usual[count, 1] > 0:
                place[count, 0], place[count, 1], place[count, 2] = group, minute, end if there else -1
                count += 1
            minute += 1
    return place[:count, 0].copy(), place[:count, 1].copy(), place[:count, 2].copy(), usual[:count].copy()
