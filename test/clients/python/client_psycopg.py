"""psycopg 3: server-side parameters, prepared statements, pipeline mode, binary and named cursors, COPY both ways."""

import datetime
import io
import time
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from checks import ADMITTED, FIELDS, ROW, check, fails, finish, same

CREATED = (
    f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS})"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING version, position, event_id"
)
UPDATED = (
    "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (%s, %s)"
    " RETURNING version, position, event_id"
)
ID = "psycopg-1"
seen = {}
connection = psycopg.connect(autocommit=True)


@check("append")
def _():
    version, position, event_id = connection.execute(CREATED, (ID, *ROW)).fetchone()
    same((version, type(position), type(event_id)), (1, int, uuid.UUID))
    seen.update(position=position, event_id=event_id)


@check("append again")
def _():
    time.sleep(0.02)
    seen["between"] = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.02)
    same(connection.execute(UPDATED, (ID, "Lovelace")).fetchone()[0], 2)


@check("read state, typed")
def _():
    query = f"SELECT {FIELDS} FROM patient WHERE aggregate_id = %s"
    same(connection.execute(query, (ID,)).fetchone(), ("Ada", "Lovelace", *ROW[2:]))


@check("read state, binary")
def _():
    query = f"SELECT {FIELDS}, version FROM patient WHERE aggregate_id = %s"
    row = connection.execute(query, (ID,), binary=True).fetchone()
    same(row, ("Ada", "Lovelace", *ROW[2:], 2))


@check("AS OF VERSION, text and binary")
def _():
    query = f"SELECT {FIELDS} FROM patient AS OF VERSION %s WHERE aggregate_id = %s"
    for binary in (False, True):
        same(connection.execute(query, (1, ID), binary=binary).fetchone(), ROW)


@check("AS OF TIMESTAMP")
def _():
    query = "SELECT p.last_name FROM patient AS OF TIMESTAMP %s p WHERE p.aggregate_id = %s"
    same(connection.execute(query, (seen["between"], ID)).fetchone(), ("King",))


@check("AS OF POSITION, in a join with the present")
def _():
    query = (
        "SELECT a.last_name, b.last_name FROM patient AS OF POSITION %s a"
        " JOIN patient b USING (aggregate_id) WHERE aggregate_id = %s"
    )
    same(connection.execute(query, (seen["position"], ID)).fetchone(), ("King", "Lovelace"))


@check("history and events")
def _():
    query = "SELECT version, last_name, valid_to IS NULL FROM patient_history WHERE aggregate_id = %s ORDER BY 1"
    same(connection.execute(query, (ID,)).fetchall(), [(1, "King", False), (2, "Lovelace", True)])
    query = "SELECT event_id, payload->>'weight', payload FROM patient_events WHERE aggregate_id = %s ORDER BY version"
    rows = connection.execute(query, (ID,), binary=True).fetchall()
    same((rows[0][0], rows[0][1]), (seen["event_id"], "61.500"))
    same(rows[1][2], {"last_name": "Lovelace"})


@check("error: unknown field 42703")
def _():
    query = "INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES (%s, %s)"
    error = fails("42703", lambda: connection.execute(query, (ID, "x")))
    same(type(error), psycopg.errors.UndefinedColumn)


@check("error: UPDATE 0A000")
def _():
    error = fails("0A000", lambda: connection.execute("UPDATE patient SET visits = %s", (1,)))
    assert "INSERT INTO patient EVENTS" in error.diag.message_hint, error.diag.message_hint


@check("error: expected version 40001")
def _():
    error = fails("40001", lambda: connection.execute(
        "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (%s, 1) EXPECT VERSION %s", (ID, 9)))
    same(type(error), psycopg.errors.SerializationFailure)


@check("error: value of the wrong type 22P02")
def _():
    query = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (%s, %s)"
    fails("22P02", lambda: connection.execute(query, (ID, "many")))


@check("goes on after errors")
def _():
    same(connection.execute("SELECT version FROM patient WHERE aggregate_id = %s", (ID,)).fetchone(), (2,))


@check("transaction: reads its own writes, rolls back")
def _():
    query = "SELECT last_name FROM patient WHERE aggregate_id = %s"
    with connection.transaction(force_rollback=True):
        connection.execute(UPDATED, (ID, "Byron"))
        same(connection.execute(query, (ID,)).fetchone(), ("Byron",))
    same(connection.execute(query, (ID,)).fetchone(), ("Lovelace",))


@check("transaction: savepoint kept out")
def _():
    with connection.transaction():
        connection.execute(UPDATED, ("psycopg-2", "outer"))
        try:
            with connection.transaction():
                connection.execute(UPDATED, ("psycopg-2", "inner"))
                connection.execute("DELETE FROM patient")
        except psycopg.errors.FeatureNotSupported:
            pass
        connection.execute(UPDATED, ("psycopg-3", "other"))
    rows = connection.execute(
        "SELECT aggregate_id, last_name, version FROM patient WHERE aggregate_id IN ('psycopg-2', 'psycopg-3') ORDER BY 1"
    ).fetchall()
    same(rows, [("psycopg-2", "outer", 1), ("psycopg-3", "other", 1)])


@check("transaction: implicit, as psycopg opens it")
def _():
    with psycopg.connect() as other:
        other.execute(UPDATED, ("psycopg-4", "one"))
        same(other.info.transaction_status, psycopg.pq.TransactionStatus.INTRANS)
        other.commit()
        other.execute(UPDATED, ("psycopg-4", "two"))
        other.rollback()
    same(connection.execute("SELECT last_name FROM patient WHERE aggregate_id = 'psycopg-4'").fetchone(), ("one",))


@check("prepared after five")
def _():
    for number in range(1, 9):
        row = connection.execute(UPDATED, ("psycopg-5", f"n{number}")).fetchone()
        same(row[0], number)
        query = "SELECT last_name FROM patient AS OF VERSION %s WHERE aggregate_id = %s"
        same(connection.execute(query, (number, "psycopg-5")).fetchone(), (f"n{number}",))
    same(connection.execute(UPDATED, ("psycopg-5", "prepared"), prepare=True).fetchone()[0], 9)
    names = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert names[0] >= 0


@check("binary parameters (%b)")
def _():
    query = (
        "INSERT INTO patient EVENTS patient_created (aggregate_id, birthdate, weight, admitted_at, smoker, visits)"
        " VALUES (%b, %b, %b, %b, %b, %b) RETURNING version"
    )
    same(connection.execute(query, ("psycopg-6", *ROW[2:]), binary=True).fetchone(), (1,))
    query = "SELECT birthdate, weight, admitted_at, smoker, visits FROM patient WHERE aggregate_id = %b"
    same(connection.execute(query, ("psycopg-6",)).fetchone(), ROW[2:])


@check("idempotent append by event_id")
def _():
    query = (
        "INSERT INTO patient EVENTS (aggregate_id, event_type, payload, event_id)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT (event_id) DO NOTHING RETURNING version"
    )
    values = ("psycopg-7", "patient_updated", Jsonb({"last_name": "Hopper"}), uuid.uuid4())
    same(connection.execute(query, values).fetchone(), (1,))
    connection.execute(query, values)
    same(connection.execute("SELECT version FROM patient WHERE aggregate_id = 'psycopg-7'").fetchone(), (1,))


@check("pipeline mode")
def _():
    with connection.pipeline() as pipeline, connection.transaction():
        cursors = [connection.execute(UPDATED, ("psycopg-8", f"n{number}")) for number in range(20)]
        read = connection.execute("SELECT version FROM patient WHERE aggregate_id = 'psycopg-8'")
        pipeline.sync()
        same([cursor.fetchone()[0] for cursor in cursors], list(range(1, 21)))
        same(read.fetchone(), (20,))


@check("pipeline mode: an error aborts to the sync, then goes on")
def _():
    errors = []

    def attempt(call):
        # The error comes with whatever call first reads from the socket.
        try:
            return call()
        except psycopg.Error as error:
            errors.append(error.sqlstate)

    with connection.pipeline() as pipeline:
        connection.execute(UPDATED, ("psycopg-9", "before"))
        pipeline.sync()
        attempt(lambda: connection.execute("UPDATE patient SET visits = 1"))
        attempt(lambda: connection.execute(UPDATED, ("psycopg-9", "skipped")))
        attempt(pipeline.sync)
        after = connection.execute(UPDATED, ("psycopg-9", "after"))
        pipeline.sync()
        same(after.fetchone()[0], 2)
    assert "0A000" in errors, errors


@check("executemany, returning")
def _():
    cursor = connection.cursor()
    cursor.executemany(UPDATED, [("psycopg-10", f"n{number}") for number in range(50)], returning=True)
    versions = []
    while True:
        versions.append(cursor.fetchone()[0])
        if not cursor.nextset():
            break
    same(versions, list(range(1, 51)))


@check("server-side cursor over state")
def _():
    with connection.transaction():
        with connection.cursor("named", binary=True) as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT generate_series(1, 50), count(*) FROM patient WHERE aggregate_id = %s", (ID,))
            same([row[0] for row in cursor], list(range(1, 51)))


@check("server-side cursor, scrollable and WITH HOLD")
def _():
    with connection.cursor("held", scrollable=True, withhold=True) as cursor:
        cursor.execute("SELECT version FROM patient_history WHERE aggregate_id = 'psycopg-10' ORDER BY version")
        same([row[0] for row in cursor.fetchmany(3)], [1, 2, 3])
        cursor.scroll(40, mode="absolute")
        same(cursor.fetchone(), (41,))


@check("server-side cursor over AS OF")
def _():
    with connection.transaction():
        with connection.cursor("past") as cursor:
            cursor.execute("SELECT last_name FROM patient AS OF VERSION 3 WHERE aggregate_id = %s", ("psycopg-10",))
            same(cursor.fetchall(), [("n2",)])


@check("COPY EVENTS FROM STDIN, text by rows")
def _():
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY patient EVENTS patient_created (aggregate_id, {FIELDS}) FROM STDIN") as copy:
            for number in range(300):
                copy.write_row((f"psycopg-copy-{number:03}", *ROW))
        same(cursor.rowcount, 300)
    query = f"SELECT {FIELDS} FROM patient WHERE aggregate_id = 'psycopg-copy-123'"
    same(connection.execute(query).fetchone(), ROW)


@check("COPY EVENTS FROM STDIN, csv with header")
def _():
    with connection.cursor() as cursor:
        with cursor.copy(
            "COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv, HEADER)"
        ) as copy:
            copy.write('aggregate_id,last_name\npsycopg-csv,"O\'Neil, ""Jo"""\npsycopg-csv,two\n')
        same(cursor.rowcount, 2)
    query = "SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = 'psycopg-csv'"
    same(connection.execute(query).fetchone(), ("O'Neil, \"Jo\"",))


@check("COPY EVENTS FROM STDIN is atomic, and an aborted one leaves nothing")
def _():
    statement = "COPY patient EVENTS patient_updated (aggregate_id, visits) FROM STDIN"

    def wrong():
        with connection.cursor().copy(statement) as copy:
            copy.write("psycopg-none\t1\npsycopg-none\tmany\n")

    def aborted():
        with connection.cursor().copy(statement) as copy:
            copy.write("psycopg-none\t1\n")
            raise KeyError("stop")

    fails("22P02", wrong)
    try:
        aborted()
    except KeyError:
        pass
    same(connection.execute("SELECT count(*) FROM patient WHERE aggregate_id = 'psycopg-none'").fetchone(), (0,))


@check("COPY EVENTS FROM STDIN, binary: refused")
def _():
    def binary():
        with connection.cursor().copy(
            "COPY patient EVENTS patient_updated (aggregate_id, visits) FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.write_row(("x", 1))

    fails("0A000", binary)
    same(connection.execute("SELECT 1").fetchone(), (1,))


@check("COPY TO STDOUT, text, csv and binary")
def _():
    query = f"SELECT {FIELDS} FROM patient WHERE aggregate_id LIKE 'psycopg-copy-%' ORDER BY aggregate_id"
    types = ["text", "text", "date", "numeric", "timestamptz", "bool", "int4"]
    for form in ("text", "binary"):
        with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT {form})") as copy:
            copy.set_types(types)
            rows = list(copy.rows())
        same((len(rows), rows[0]), (300, ROW))
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        lines = io.StringIO(b"".join(copy).decode()).readlines()
    same((len(lines), lines[0].strip()), (301, FIELDS.replace(" ", "")))


@check("COPY of the past TO STDOUT")
def _():
    with connection.cursor().copy(
        "COPY (SELECT version, last_name FROM patient AS OF VERSION 2 WHERE aggregate_id = 'psycopg-10') TO STDOUT"
    ) as copy:
        same(list(copy.rows()), [("2", "n1")])
    with connection.cursor().copy("COPY patient TO STDOUT") as copy:
        assert len(list(copy.rows())) > 300


@check("LISTEN and notifies()")
def _():
    with psycopg.connect(autocommit=True) as listener:
        listener.execute("LISTEN patient")
        connection.execute(UPDATED, ("psycopg-11", "x"))
        note = next(listener.notifies(timeout=5))
        same(note.channel, "patient")
        assert '"psycopg-11"' in note.payload, note.payload


@check("cancel 57014")
def _():
    import threading

    with psycopg.connect(autocommit=True) as sleeper:
        threading.Timer(0.2, sleeper.cancel_safe).start()
        fails("57014", lambda: sleeper.execute("SELECT pg_sleep(30)"))
        same(sleeper.execute("SELECT 1").fetchone(), (1,))


@check("time zone follows SET")
def _():
    with psycopg.connect(autocommit=True, options="-c timezone=Asia/Tokyo") as other:
        same(other.info.parameter_status("TimeZone"), "Asia/Tokyo")
        query = "SELECT admitted_at FROM patient AS OF VERSION 1 WHERE aggregate_id = %s"
        for zone in ("Asia/Tokyo", "Europe/Zurich"):
            other.execute(sql.SQL("SET TimeZone TO {}").format(zone))
            (value,) = other.execute(query, (ID,)).fetchone()
            same((value, value.tzinfo.key), (ADMITTED, zone))


@check("client cursor (literals in the text), rows as dicts")
def _():
    with psycopg.ClientCursor(connection, row_factory=dict_row) as cursor:
        cursor.execute(UPDATED, ("psycopg-12", "O'Neil \\ é"))
        same(cursor.fetchone()["version"], 1)
        cursor.execute("SELECT last_name FROM patient WHERE aggregate_id = %s", ("psycopg-12",))
        same(cursor.fetchone(), {"last_name": "O'Neil \\ é"})


@check("two-phase commit is refused")
def _():
    other = psycopg.connect()
    other.tpc_begin("x")
    other.execute(UPDATED, ("psycopg-13", "x"))
    fails("0A000", other.tpc_prepare)
    other.close()
    same(connection.execute("SELECT count(*) FROM patient WHERE aggregate_id = 'psycopg-13'").fetchone(), (0,))


@check("result columns name their table")
def _():
    cursor = connection.execute("SELECT aggregate_id, visits FROM patient LIMIT 1")
    table = connection.execute("SELECT 'patient'::regclass::oid").fetchone()[0]
    same([cursor.pgresult.ftable(1), cursor.pgresult.ftablecol(0)], [table, 1])


@check("wrong password")
def _():
    try:
        psycopg.connect(password="not a token")
    except psycopg.OperationalError as error:
        assert "authentication" in str(error) or "token" in str(error), error
    else:
        raise AssertionError("let in")


finish(f"psycopg {psycopg.__version__} (libpq {psycopg.pq.version()})")
