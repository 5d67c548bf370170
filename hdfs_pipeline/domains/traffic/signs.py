"""Signs of trouble in windows: what differs from the hour before it by more than chance explains, by settings.

Counts vary by chance alone about as the root of how many they are. Roots of counts vary equally whatever their size
(Anscombe, "The Transformation of Poisson, Binomial and Negative-Binomial Data", 1948), so a difference of roots says
how unlikely a count is. Where a group usually varies more than chance, its own spread counts. One minute of a group
with few requests says little, so each window is looked at together with the minute before it.
"""

from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.settings import Settings

SIGNS: Final = ("ERRORS", "SLOW", "ERRATIC", "DROP", "CROWD", "SPIKE")
"""Too many failures; slow answers; uneven ones; too few requests; too many, from many clients or from few."""
_ERRORS, _SLOW, _ERRATIC, _DROP, _CROWD, _SPIKE = range(len(SIGNS))
_SURE: Final = 5.0
"""Standard deviations that are no chance, of some hundred thousand windows a day."""
_AT_ONCE: Final = 1.5  # times as sure where one minute alone tells
_BELOW: Final = 2.25  # standard deviations of the hour by which requests must lack
_SURE_ERRORS: Final = 3.0  # of failures, which are rare: together with the share that they must reach
_LEAST_ERRORS: Final = 4
_ALWAYS_ERRORS: Final = 0.01  # share of failures that is nowhere unusual
_DEVIATIONS: Final = 1.4826  # standard deviations in a median absolute deviation
_ROUGH: Final = 1.3  # a spread of an hour is known to a third
_LEAST_TIMED: Final = 5
_LEAST_SLOW: Final = 5.0  # sum of the standard deviations of two medians, where the mean says the rest
_LEAST_APART: Final = 0.1  # relative standard deviation of medians of response times, at least
_PER_CLIENT: Final = 30  # requests of a client in a minute, from which on few of them are no crowd
_LEAST_MS: Final = 20.0  # more than usual, below which nobody calls an answer slow


def columns_of(windows: pa.Table) -> dict[str, np.ndarray]:
    """The numbers of windows as float64 (n,), NaN where there is none."""
    return {
        name: windows[name].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
        for name in windows.column_names
        if pa.types.is_integer(windows.schema.field(name).type) or pa.types.is_floating(windows.schema.field(name).type)
    }


def signs(windows: pa.Table, settings: Settings) -> np.ndarray:
    """Which of `SIGNS` each window has: (n, 6) bool.

    An endpoint group has no sign that its service as a whole has in the same minute, among the `windows`.
    """
    from hdfs_pipeline.domains.weblogs.windows import ALL, minutes_of

    own = columns_of(windows)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _judged(own, settings)
    service = windows["service"].combine_chunks().dictionary_encode().indices.to_numpy()
    place = service.astype(np.int64) << 32 | minutes_of(windows)
    whole = np.array(windows["endpoint"].to_pylist(), object) == ALL
    order = np.flatnonzero(whole)[np.argsort(place[whole])]
    at = np.minimum(np.searchsorted(place[order], place), max(len(order) - 1, 0))
    if len(order):
        its_service = order[at]
        explained = found[its_service] & (place[its_service] == place)[:, None]
        crowded = explained[:, _CROWD] | explained[:, _SPIKE]
        explained[:, _CROWD] = explained[:, _SPIKE] = crowded
        found &= whole[:, None] | ~explained
    return found


def _judged(own: dict[str, np.ndarray], settings: Settings) -> np.ndarray:
    requests, usual = own["requests"], own["usual_requests"]
    known = own["usual_minutes"] >= settings.web_least_minutes
    both, usual_both = requests + own["before_requests"], 2 * usual
    enough = both >= settings.web_least_requests
    found = np.zeros((len(requests), len(SIGNS)), bool)
    found[:, _ERRORS] = enough & _too_many_errors(own, known, both, settings)
    found[:, _SLOW] = known & (own["timed_minutes"] >= settings.web_least_minutes) & enough & _slow(own, settings)
    found[:, _ERRATIC] = known & _erratic(own, settings) & ~found[:, _SLOW]
    spread = _DEVIATIONS * own["spread_requests"] / np.maximum(np.sqrt(usual), 1e-9)  # against that of chance
    sure = _SURE * np.maximum(spread / _ROUGH, _by_clients(usual, own["usual_clients"]))
    busy = known & (usual_both >= settings.web_least_requests)
    share = settings.web_drop_share
    less = (requests <= share * usual) & (both <= (1 + share) * usual)
    less &= usual - requests >= _BELOW * _DEVIATIONS * own["spread_requests"]  # else they pause by themselves
    at_once = _apart(requests, usual) <= -_AT_ONCE * sure
    # Clients that stay for more than a minute lack in both.
    sure_of_both = _SURE * np.maximum(spread / _ROUGH, _by_clients(usual_both, own["usual_clients"], most=3.0))
    lasting = (both <= share * usual_both) & (_apart(both, usual_both) <= -sure_of_both)
    found[:, _DROP] = busy & less & (at_once | lasting)
    more = busy & enough & (requests >= settings.web_spike_times * usual) & (_apart(requests, usual) >= _AT_ONCE * sure)
    few = requests > _PER_CLIENT * own["clients"]
    found[:, _CROWD], found[:, _SPIKE] = more & ~few | known & enough & _new_clients(own, settings), more & few
    return found


def _new_clients(own: dict[str, np.ndarray], settings: Settings) -> np.ndarray:
    """Whether far more clients than usual ask for far more: they come by themselves, and so vary by chance alone."""
    times, clients, usual = settings.web_spike_times, own["clients"], own["usual_clients"]
    asked = own["requests"] >= times * np.maximum(own["usual_requests"], 1)
    return np.asarray(asked & (clients >= times * usual) & (_apart(clients, usual) >= _AT_ONCE * _SURE))


def _by_clients(count: np.ndarray, clients: np.ndarray, most: float = 2.0) -> np.ndarray:
    """By how much more than chance counts vary that come from few clients: each comes and goes with all it asks.

    At most so many times, since behind one address there may be many.
    """
    return np.clip(np.sqrt(count / np.maximum(clients, 1)) / _ROUGH, 1.0, most)


def _apart(count: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """By how many standard deviations of chance counts (n,) differ from usual ones."""
    return 2 * (np.sqrt(count + 0.375) - np.sqrt(usual + 0.375))


def _too_many_errors(own: dict[str, np.ndarray], known: np.ndarray, both: np.ndarray, settings: Settings) -> np.ndarray:
    errors = own["errors"] + own["before_errors"]
    usual = np.where(known, own["usual_errors"] / 1000, 0.0)
    share = errors / np.maximum(both, 1)
    expected = both * np.maximum(usual, _ALWAYS_ERRORS)
    most = np.maximum(settings.web_error_share, 2 * usual)
    sure = (errors >= _LEAST_ERRORS) & (_apart(errors, expected) >= _SURE_ERRORS)
    going_on = own["errors"] >= settings.web_error_share * own["requests"]
    return np.asarray(sure & (share >= most) & going_on & (own["errors"] > 0))


def _slow(own: dict[str, np.ndarray], settings: Settings) -> np.ndarray:
    """Whether half of the answers took far longer than usual: in this minute, or in both by less."""
    usual = own["usual_p50_ms"]
    apart = np.maximum(_DEVIATIONS * own["spread_p50_ms"] / usual, _LEAST_APART)
    now, before = np.log(own["p50_ms"] / usual) / apart, np.log(own["before_p50_ms"] / usual) / apart
    times = (own["p50_ms"] >= settings.web_slow_times * usual) & (own["p50_ms"] - usual >= _LEAST_MS)
    # The median of a mixture of quick and slow answers jumps with their shares; their mean hardly does.
    chance = own["sd_ms"] / np.sqrt(np.maximum(own["timed"], 1)) * _by_clients(own["timed"], own["clients"])
    times &= own["mean_ms"] >= np.maximum(settings.web_slow_times * own["usual_ms"], own["usual_ms"] + 2 * chance)
    by_mean = np.maximum((own["mean_ms"] - own["usual_ms"]) / chance, 0)  # about 1 where one answer took long
    both = np.nan_to_num(np.hypot((now + before) / np.sqrt(2), by_mean), nan=-np.inf) >= _SURE
    both &= (now + before >= _LEAST_SLOW) & (before >= 2)
    return np.asarray(times & (own["timed"] >= _LEAST_TIMED) & ((now >= _AT_ONCE * _SURE) | both))


def _erratic(own: dict[str, np.ndarray], settings: Settings) -> np.ndarray:
    """Whether answers are usual by half, and a twentieth takes many times as long as they usually do on average."""
    slow = settings.web_erratic_times * own["usual_ms"]
    uneven = (own["p95_ms"] >= slow) & (own["sd_ms"] >= own["mean_ms"])
    apart = own["mean_ms"] >= own["usual_ms"] + 2 * _SURE * np.maximum(
        _DEVIATIONS * own["spread_ms"], _LEAST_APART * own["usual_ms"]
    )
    return np.asarray((own["timed"] >= 4 * _LEAST_TIMED) & uneven & apart)
