"""psycopg2: the simple protocol with literals, named cursors, COPY both ways, LISTEN, execute_values."""

import datetime
import io
import json
import select
import time

import psycopg2
import psycopg2.extensions
import psycopg2.extras

from checks import FIELDS, ROW, check, finish, same
from checks import fails as fails_with

CREATED = (
    f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS})"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING version, position, event_id"
)
UPDATED = (
    "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (%s, %s)"
    " RETURNING version, position, event_id"
)
ID = "psycopg2-1"
seen = {}
psycopg2.extras.register_uuid()
connection = psycopg2.connect("")
connection.autocommit = True


def run(query, values=None):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def fails(sqlstate, call):
    return fails_with(sqlstate, call, lambda error: error.pgcode)


@check("append")
def _():
    ((version, position, event_id),) = run(CREATED, (ID, *ROW))
    same((version, type(position)), (1, int))
    seen.update(position=position, event_id=event_id)


@check("append again")
def _():
    time.sleep(0.02)
    seen["between"] = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.02)
    same(run(UPDATED, (ID, "Lovelace"))[0][0], 2)


@check("read state, typed")
def _():
    same(run(f"SELECT {FIELDS} FROM patient WHERE aggregate_id = %s", (ID,)), [("Ada", "Lovelace", *ROW[2:])])


@check("AS OF VERSION")
def _():
    same(run(f"SELECT {FIELDS} FROM patient AS OF VERSION %s WHERE aggregate_id = %s", (1, ID)), [ROW])


@check("AS OF TIMESTAMP")
def _():
    # The literal comes as '…'::timestamptz, after the keyword TIMESTAMP.
    query = "SELECT p.last_name FROM patient AS OF TIMESTAMP %s p WHERE p.aggregate_id = %s"
    same(run(query, (seen["between"], ID)), [("King",)])
    same(run(query, (seen["between"].isoformat(), ID)), [("King",)])


@check("history and events")
def _():
    query = "SELECT version, last_name FROM patient_history WHERE aggregate_id = %s ORDER BY version"
    same(run(query, (ID,)), [(1, "King"), (2, "Lovelace")])
    query = "SELECT event_id, payload FROM patient_events WHERE aggregate_id = %s ORDER BY version"
    rows = run(query, (ID,))
    same((rows[0][0], rows[1][1]), (seen["event_id"], {"last_name": "Lovelace"}))


@check("error: unknown field 42703")
def _():
    query = "INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES (%s, %s)"
    error = fails("42703", lambda: run(query, (ID, "x")))
    same(type(error), psycopg2.errors.UndefinedColumn)


@check("error: UPDATE 0A000")
def _():
    error = fails("0A000", lambda: run("UPDATE patient SET visits = %s", (1,)))
    assert "EVENTS" in error.diag.message_hint


@check("error: expected version 40001")
def _():
    query = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (%s, %s) EXPECT VERSION %s"
    fails("40001", lambda: run(query, (ID, 1, 9)))


@check("goes on after errors")
def _():
    same(run("SELECT version FROM patient WHERE aggregate_id = %s", (ID,)), [(2,)])


@check("transaction: reads its own writes, rolls back, fails and is ended")
def _():
    with psycopg2.connect("") as other, other.cursor() as cursor:
        cursor.execute(UPDATED, (ID, "Byron"))
        cursor.execute("SELECT last_name FROM patient WHERE aggregate_id = %s", (ID,))
        same(cursor.fetchall(), [("Byron",)])
        same(other.info.transaction_status, psycopg2.extensions.TRANSACTION_STATUS_INTRANS)
        other.rollback()
        cursor.execute("SELECT last_name FROM patient WHERE aggregate_id = %s", (ID,))
        same(cursor.fetchall(), [("Lovelace",)])
        fails("0A000", lambda: cursor.execute("DELETE FROM patient"))
        fails("25P02", lambda: cursor.execute("SELECT 1"))
        other.rollback()
        cursor.execute(UPDATED, ("psycopg2-2", "x"))
    same(run("SELECT last_name FROM patient WHERE aggregate_id = 'psycopg2-2'"), [("x",)])


@check("serializable, read only, deferrable session")
def _():
    with psycopg2.connect("") as other:
        other.set_session(isolation_level="SERIALIZABLE", readonly=True)
        with other.cursor() as cursor:
            cursor.execute("SELECT version FROM patient WHERE aggregate_id = %s", (ID,))
            same(cursor.fetchone(), (2,))
            cursor.execute("SHOW transaction_read_only")
            same(cursor.fetchone(), ("on",))
            fails("25006", lambda: cursor.execute(UPDATED, (ID, "x")))


@check("execute_values, execute_batch")
def _():
    with connection.cursor() as cursor:
        rows = psycopg2.extras.execute_values(
            cursor,
            "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES %s RETURNING version",
            [("psycopg2-3", number) for number in range(250)],
            fetch=True,
        )
        same([row[0] for row in rows], list(range(1, 251)))
        psycopg2.extras.execute_batch(cursor, UPDATED, [("psycopg2-4", str(number)) for number in range(150)])
    same(run("SELECT version FROM patient WHERE aggregate_id = 'psycopg2-4'"), [(150,)])


@check("named cursor")
def _():
    with psycopg2.connect("") as other:
        with other.cursor("named") as cursor:
            cursor.itersize = 40
            cursor.execute("SELECT version FROM patient_history WHERE aggregate_id = 'psycopg2-3' ORDER BY version")
            same([row[0] for row in cursor], list(range(1, 251)))


@check("named cursor, scrollable and WITH HOLD")
def _():
    with connection.cursor("held", withhold=True, scrollable=True) as cursor:
        cursor.execute("SELECT version FROM patient AS OF VERSION 7 WHERE aggregate_id = 'psycopg2-3'")
        same(cursor.fetchall(), [(7,)])
        cursor.scroll(0, mode="absolute")
        same(cursor.fetchone(), (7,))


@check("COPY EVENTS FROM STDIN (copy_expert)")
def _():
    data = io.StringIO("".join(f"psycopg2-copy-{number}\tName {number}\t{number}\n" for number in range(1000)))
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY patient EVENTS patient_updated (aggregate_id, last_name, visits) FROM STDIN", data)
        same(cursor.rowcount, 1000)
    same(run("SELECT last_name, visits FROM patient WHERE aggregate_id = 'psycopg2-copy-77'"), [("Name 77", 77)])


@check("COPY TO STDOUT (copy_expert, copy_to)")
def _():
    with connection.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_expert(
            "COPY (SELECT visits FROM patient AS OF VERSION 1 WHERE aggregate_id = 'psycopg2-copy-77')"
            " TO STDOUT WITH (FORMAT csv, HEADER)", out)
        same(out.getvalue(), "visits\n77\n")
        out = io.StringIO()
        cursor.copy_to(out, "patient", columns=("aggregate_id", "visits"))
        assert "psycopg2-copy-77\t77\n" in out.getvalue()


@check("COPY into state: refused 0A000")
def _():
    with connection.cursor() as cursor:
        fails("0A000", lambda: cursor.copy_from(io.StringIO("x\t1\n"), "patient", columns=("aggregate_id", "visits")))
    same(run("SELECT 1"), [(1,)])


@check("LISTEN")
def _():
    listener = psycopg2.connect("")
    listener.autocommit = True
    listener.cursor().execute("LISTEN patient")
    run(UPDATED, ("psycopg2-5", "x"))
    until = time.monotonic() + 5
    while not listener.notifies and time.monotonic() < until:
        select.select([listener], [], [], 0.2)
        listener.poll()
    same(json.loads(listener.notifies[0].payload)["aggregate_id"], "psycopg2-5")
    listener.close()


@check("cancel 57014")
def _():
    import threading

    threading.Timer(0.2, connection.cancel).start()
    fails("57014", lambda: run("SELECT pg_sleep(30)"))
    same(run("SELECT 1"), [(1,)])


@check("dictionaries, JSON, arrays as literals")
def _():
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute(
            "INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES (%s, %s, %s) RETURNING version",
            ("psycopg2-6", "patient_updated", psycopg2.extras.Json({"last_name": "O'Neil"})),
        )
        same(cursor.fetchone(), {"version": 1})
        cursor.execute("SELECT last_name FROM patient WHERE aggregate_id = ANY(%s)", (["psycopg2-6"],))
        same(cursor.fetchone(), {"last_name": "O'Neil"})


@check("server version and parameters")
def _():
    assert connection.server_version >= 150000
    same(connection.get_parameter_status("standard_conforming_strings"), "on")
    same(connection.encoding, "UTF8")


finish(f"psycopg2 {psycopg2.__version__.split()[0]} (libpq {psycopg2.__libpq_version__})")
