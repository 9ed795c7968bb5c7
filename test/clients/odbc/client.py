"""psqlODBC through unixODBC: pyodbc with SQL types, server-side prepare, declare/fetch, the catalogue functions, isql."""

import datetime
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

import pyodbc

from checks import BIRTH, FIELDS, WEIGHT, check, finish, same
from checks import fails as fails_with

pyodbc.pooling = False
ID = "psqlodbc-1"
# ODBC has timestamps without a time zone; they are read in the session's.
ADMITTED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
ROW = ("Ada", "King", BIRTH, WEIGHT, ADMITTED, True, 3)
SETTINGS = {
    "Driver": os.environ["ODBC_DRIVER"],
    "Server": os.environ["PGHOST"],
    "Port": os.environ["PGPORT"],
    "Database": os.environ["PGDATABASE"],
    "UID": os.environ["PGUSER"],
    "PWD": os.environ["PGPASSWORD"],
    "SSLmode": "disable",
    "BoolsAsChar": "0",
    "ConnSettings": "SET TimeZone = 'UTC'",
}
CREATED = (
    f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS})"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING version, position, event_id"
)
UPDATED = "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?) RETURNING version"


def connect(autocommit=True, **more):
    text = ";".join(f"{name}={value}" for name, value in {**SETTINGS, **more}.items())
    return pyodbc.connect(text, autocommit=autocommit)


def fails(sqlstate, call):
    return fails_with(sqlstate, call, lambda error: error.args[0])


connection = connect()
seen = {}


def run(query, *values):
    cursor = connection.execute(query, values)
    return [tuple(row) for row in cursor.fetchall()] if cursor.description else cursor.rowcount


@check("append")
def _():
    ((version, position, event_id),) = run(CREATED, ID, *ROW)
    same((version, position > 0, len(str(event_id))), (1, True, 36))
    seen["position"] = position


@check("append again, as a row count")
def _():
    time.sleep(0.02)
    seen["between"] = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.02)
    same(run("INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?)", ID, "Lovelace"), 1)


@check("read state, typed")
def _():
    same(run(f"SELECT {FIELDS} FROM patient WHERE aggregate_id = ?", ID), [("Ada", "Lovelace", *ROW[2:])])


@check("AS OF VERSION ?")
def _():
    same(run(f"SELECT {FIELDS} FROM patient AS OF VERSION ? WHERE aggregate_id = ?", 1, ID), [ROW])


@check("AS OF TIMESTAMP ?")
def _():
    query = "SELECT p.last_name FROM patient AS OF TIMESTAMP ? p WHERE p.aggregate_id = ?"
    same(run(query, seen["between"].isoformat(), ID), [("King",)])
    same(run(query, seen["between"].replace(tzinfo=None), ID), [("King",)])


@check("AS OF POSITION ?")
def _():
    same(run("SELECT last_name FROM patient AS OF POSITION ? WHERE aggregate_id = ?", seen["position"], ID), [("King",)])


@check("history and events")
def _():
    query = "SELECT version, last_name FROM patient_history WHERE aggregate_id = ? ORDER BY version"
    same(run(query, ID), [(1, "King"), (2, "Lovelace")])
    query = "SELECT event_type, payload->>'last_name' FROM patient_events WHERE aggregate_id = ? ORDER BY version"
    same(run(query, ID)[1], ("patient_updated", "Lovelace"))


@check("error: unknown field 42703")
def _():
    # psqlODBC reports 42703 as ODBC's own 42S22 in some versions.
    query = "INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES (?, ?)"
    error = fails_with("42703", lambda: run(query, ID, "x"), lambda error: error.args[0].replace("42S22", "42703"))
    assert "nope" in str(error), error


@check("error: UPDATE 0A000")
def _():
    fails("0A000", lambda: run("UPDATE patient SET visits = ?", 1))


@check("error: expected version 40001")
def _():
    query = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (?, ?) EXPECT VERSION ?"
    fails("40001", lambda: run(query, ID, 1, 9))


@check("goes on after errors")
def _():
    same(run("SELECT version FROM patient WHERE aggregate_id = ?", ID), [(2,)])


@check("transaction: reads its own writes, rolls back, an error in it, commits")
def _():
    own = "SELECT last_name FROM patient WHERE aggregate_id = ?"
    other = connect(autocommit=False)
    other.execute(UPDATED, (ID, "Byron")).fetchall()
    same(other.execute(own, (ID,)).fetchone()[0], "Byron")
    same(other.execute(own, (ID,)).fetchone()[0], "Byron")
    other.rollback()
    same(other.execute(own, (ID,)).fetchone()[0], "Lovelace")
    fails("0A000", lambda: other.execute("DELETE FROM patient"))
    other.rollback()
    other.execute(UPDATED, ("psqlodbc-2", "two")).fetchall()
    other.execute(UPDATED, ("psqlodbc-3", "three")).fetchall()
    other.commit()
    other.close()
    same(run("SELECT count(*) FROM patient WHERE aggregate_id IN ('psqlodbc-2', 'psqlodbc-3')"), [(2,)])


@check("prepared, used again")
def _():
    cursor = connection.cursor()
    for number in range(1, 9):
        same(cursor.execute(UPDATED, ("psqlodbc-4", f"n{number}")).fetchone()[0], number)
    for number in range(1, 9):
        query = "SELECT last_name FROM patient AS OF VERSION ? WHERE aggregate_id = ?"
        same(cursor.execute(query, (number, "psqlodbc-4")).fetchone()[0], f"n{number}")


@check("executemany, plain and fast")
def _():
    query = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (?, ?)"
    for fast in (False, True):
        cursor = connection.cursor()
        cursor.fast_executemany = fast
        cursor.executemany(query, [(f"psqlodbc-many-{fast}", number) for number in range(100)])
        same(run("SELECT version, visits FROM patient WHERE aggregate_id = ?", f"psqlodbc-many-{fast}"), [(100, 99)])


@check("UseDeclareFetch: cursors of the server's")
def _():
    other = connect(autocommit=False, UseDeclareFetch="1", Fetch="7")
    for source in ("patient_history", "patient_events"):
        rows = other.execute(f"SELECT version FROM {source} WHERE aggregate_id = ? ORDER BY version", ("psqlodbc-many-True",)).fetchall()
        same([row[0] for row in rows], list(range(1, 101)))
    same(other.execute("SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = ?", (ID,)).fetchone()[0], "King")
    other.close()


@check("UseServerSidePrepare off: literals in the text")
def _():
    other = connect(UseServerSidePrepare="0")
    same(other.execute(CREATED, ("psqlodbc-5", *ROW)).fetchone()[0], 1)
    row = other.execute(f"SELECT {FIELDS} FROM patient AS OF VERSION ? WHERE aggregate_id = ?", (1, "psqlodbc-5")).fetchone()
    same(tuple(row), ROW)
    other.close()


@check("nulls")
def _():
    run(CREATED, "psqlodbc-6", *(None for _ in ROW))
    same(run(f"SELECT {FIELDS} FROM patient WHERE aggregate_id = 'psqlodbc-6'"), [(None,) * len(ROW)])


@check("SQLTables, SQLColumns, SQLPrimaryKeys, SQLStatistics")
def _():
    cursor = connection.cursor()
    found = sorted((row.table_name, row.table_type) for row in cursor.tables(schema="public"))
    same(found, [("patient", "TABLE"), ("patient_events", "VIEW"), ("patient_history", "VIEW")])
    columns = {row.column_name: row.type_name for row in cursor.columns(table="patient", schema="public")}
    same([columns[name] for name in FIELDS.split(", ")], ["text", "text", "date", "numeric", "timestamptz", "bool", "int4"])
    same([row.column_name for row in cursor.primaryKeys("patient", schema="public")], ["aggregate_id"])
    assert any(row.index_name == "patient_pkey" for row in cursor.statistics("patient", schema="public"))


@check("SQLForeignKeys, SQLProcedures, SQLSpecialColumns, SQLGetTypeInfo")
def _():
    cursor = connection.cursor()
    cursor.foreignKeys(table="patient", schema="public").fetchall()
    cursor.procedures(schema="public").fetchall()
    cursor.procedureColumns(schema="public").fetchall()
    cursor.rowIdColumns("patient", schema="public").fetchall()
    cursor.rowVerColumns("patient", schema="public").fetchall()
    assert len(cursor.getTypeInfo().fetchall()) > 10


@check("SQLGetInfo")
def _():
    same(connection.getinfo(pyodbc.SQL_DBMS_NAME), "PostgreSQL")
    assert int(connection.getinfo(pyodbc.SQL_DBMS_VER).split(".")[0]) >= 15


@check("statement_timeout 57014, and goes on")
def _():
    other = connect()
    other.execute("SET statement_timeout = 150")
    fails("57014", lambda: other.execute("SELECT pg_sleep(30)"))
    same(other.execute("SELECT 1").fetchone()[0], 1)
    other.close()


@check("wrong password")
def _():
    try:
        connect(PWD="wrong")
    except pyodbc.Error as error:
        assert error.args[0] in ("28P01", "28000", "08001"), error
    else:
        raise AssertionError("let in")


@check("isql")
def _():
    with tempfile.TemporaryDirectory() as directory:
        sources = pathlib.Path(directory, "odbc.ini")
        settings = {"Servername" if name == "Server" else name: value for name, value in SETTINGS.items()}
        lines = [f"{name}={value}" for name, value in settings.items() if name not in ("UID", "PWD")]
        sources.write_text("\n".join(["[eventful]", *lines, ""]))
        said = subprocess.run(
            [os.environ["ISQL"], "eventful", SETTINGS["UID"], SETTINGS["PWD"], "-b", "-d|"],
            input=f"SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = '{ID}'\n",
            env={**os.environ, "ODBCINI": str(sources)},
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert "King" in said.stdout, said.stdout + said.stderr


driver = f"{connection.getinfo(pyodbc.SQL_DRIVER_NAME)} {connection.getinfo(pyodbc.SQL_DRIVER_VER)}"
finish(f"{driver}, pyodbc {pyodbc.version}")
