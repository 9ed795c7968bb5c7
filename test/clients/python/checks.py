"""One line a check, as every client of this directory prints them."""

import datetime
import decimal
import sys
import traceback

ADMITTED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
BIRTH = datetime.date(1815, 12, 10)
WEIGHT = decimal.Decimal("61.500")
ROW = ("Ada", "King", BIRTH, WEIGHT, ADMITTED, True, 3)
FIELDS = "first_name, last_name, birthdate, weight, admitted_at, smoker, visits"

_failed = 0


def _said(name, error):
    global _failed
    if error is None:
        print(f"ok {name}", flush=True)
        return
    _failed += 1
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(f"{type(error).__name__} {error}".split())
    print(f"not ok {name}: {said} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})", flush=True)


def check(name):
    """Runs the function it decorates at once."""

    def run(body):
        try:
            body()
            _said(name, None)
        except Exception as error:
            _said(name, error)
        return body

    return run


async def acheck(name, body):
    try:
        await body()
        _said(name, None)
    except Exception as error:
        _said(name, error)


def same(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


def fails(sqlstate, call, state=lambda error: getattr(error, "sqlstate", None)):
    """`call` must fail with this SQLSTATE; returns the error."""
    try:
        call()
    except Exception as error:
        same(state(error), sqlstate)
        return error
    raise AssertionError(f"no error where {sqlstate} was due")


def finish(version):
    print(f"# version {version}", flush=True)
    sys.exit(1 if _failed else 0)
