"""Apache Superset itself, in this process, over its own REST API: connect, list, preview, SQL Lab, a dataset, charts."""

import importlib.metadata
import logging
import os
import sys
import tempfile
import time
import warnings

logging.disable(logging.ERROR)
warnings.filterwarnings("ignore")
HOME = tempfile.TemporaryDirectory(prefix="eventful-superset-")
os.environ["SUPERSET_HOME"] = HOME.name
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import psycopg2  # noqa: E402

from checks import ADMITTED, FIELDS, ROW, check, finish, same  # noqa: E402

HOST, PORT = os.environ["PGHOST"], os.environ["PGPORT"]
URI = f"postgresql+psycopg2://superset:{{}}@{HOST}:{PORT}/eventful"
OWN = "superset-"
NUMBER, STRING, TEMPORAL, BOOLEAN = range(4)
"""What Superset's `coltypes` count."""


def seed():
    """Twelve patients, admitted a month apart; every third smokes; the first one is renamed. Returns a token that only reads."""
    connection = psycopg2.connect("")
    connection.autocommit = True
    with connection.cursor() as cursor:
        for month in range(1, 13):
            time.sleep(0.005)
            values = ("Ada", "King", ROW[2], ROW[3] + month, ADMITTED.replace(month=month), month % 3 == 0, month)
            cursor.execute(
                f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (f"{OWN}{month:02}", *values),
            )
        cursor.execute(f"INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('{OWN}01', 'Lovelace')")
        cursor.execute("CALL token_generate('service', 'superset', 'read:*:*')")
        (token, *_) = cursor.fetchone()
    connection.close()
    return token


def start():
    """Superset without a web server: its WSGI application, its tables and roles, and one administrator."""
    from flask_appbuilder import Model
    from superset.app import create_app

    app = create_app("superset_config")
    with app.app_context():
        from superset.extensions import appbuilder, db, security_manager

        Model.metadata.create_all(db.engine)
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        security_manager.add_user("ana", "Ana", "Lyst", "ana@example.com", security_manager.find_role("Admin"), password="ana")
    return app.test_client()


TOKEN = seed()
HTTP = start()
LOGIN = HTTP.post("/api/v1/security/login", json={"username": "ana", "password": "ana", "provider": "db"}).json
HEADERS = {"Authorization": f"Bearer {LOGIN['access_token']}"}
seen = {}


def ask(method, path, expected=200, **more):
    answer = getattr(HTTP, method)(f"/api/v1/{path}", headers=HEADERS, **more)
    if answer.status_code != expected:
        raise AssertionError(f"{path}: {answer.status_code} {answer.text[:500]}")
    return answer.json


def lab(sql, expected=200):
    body = {"database_id": seen["database"], "schema": "public", "sql": sql, "client_id": os.urandom(5).hex(), "queryLimit": 1000}
    return ask("post", "sqllab/execute/", expected, json=body)


def chart(**query):
    """One query of a chart; its filter keeps to the patients of this client."""
    mine = {"col": "aggregate_id", "op": "LIKE", "val": f"{OWN}%"}
    body = {
        "datasource": {"id": query.pop("dataset", seen.get("dataset")), "type": "table"},
        "queries": [{"row_limit": 1000, **query, "filters": [mine, *query.get("filters", [])]}],
        "result_format": "json",
        "result_type": "full",
        "force": True,
    }
    (result,) = ask("post", "chart/data", json=body)["result"]
    same(result["error"], None)
    return result


def axis(column, grain):
    return {"label": column, "sqlExpression": column, "expressionType": "SQL", "columnType": "BASE_AXIS", "timeGrain": grain}


def metric(aggregate, column, label):
    return {"expressionType": "SIMPLE", "aggregate": aggregate, "column": {"column_name": column}, "label": label}


COUNT = {"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}


@check("test connection, and a wrong token is told")
def _():
    ask("post", "database/test_connection/", json={"sqlalchemy_uri": URI.format(TOKEN)})
    answer = ask("post", "database/test_connection/", 400, json={"sqlalchemy_uri": URI.format("wrong")})
    assert "token is not valid" in answer["errors"][0]["message"], answer


@check("add the database")
def _():
    body = {"database_name": "Eventful", "sqlalchemy_uri": URI.format(TOKEN), "expose_in_sqllab": True}
    seen["database"] = ask("post", "database/", 201, json=body)["id"]


@check("list catalogues, schemas, tables and views")
def _():
    base = f"database/{seen['database']}"
    same(ask("get", f"{base}/catalogs/")["result"], ["eventful"])
    assert {"public", "eventful"} <= set(ask("get", f"{base}/schemas/")["result"])
    tables = ask("get", f"{base}/tables/?q=(schema_name:public)")["result"]
    same(
        sorted((one["type"], one["value"]) for one in tables),
        [("table", "patient"), ("view", "patient_events"), ("view", "patient_history")],
    )
    system = ask("get", f"{base}/tables/?q=(schema_name:eventful)")["result"]
    assert {"aggregates", "events"} <= {one["value"] for one in system}


@check("a table's columns with their types and comments, its key, its comment")
def _():
    table = ask("get", f"database/{seen['database']}/table_metadata/?name=patient&schema=public")
    types = {column["name"]: column["longType"] for column in table["columns"]}
    same(
        [types[name] for name in FIELDS.split(", ")],
        ["TEXT", "TEXT", "DATE", "NUMERIC(8, 3)", "TIMESTAMP", "BOOLEAN", "INTEGER"],
    )
    same(table["comment"], "Somebody who is cared for")
    assert table["selectStar"].startswith("SELECT"), table["selectStar"]


@check("the key, through Superset's inspector")
def _():
    # The API leaves the key out of its answer: it converts no lists.
    with HTTP.application.app_context():
        from superset.extensions import db
        from superset.models.core import Database

        with db.session.get(Database, seen["database"]).get_inspector() as inspector:
            same(inspector.get_pk_constraint("patient", "public")["constrained_columns"], ["aggregate_id"])
            for foreign in (inspector.get_foreign_keys, inspector.get_check_constraints):
                same(foreign("patient", "public"), [])


@check("preview a table: SELECT * with a limit, typed")
def _():
    table = ask("get", f"database/{seen['database']}/table_metadata/?name=patient&schema=public")
    answer = lab(table["selectStar"])
    types = {column["column_name"]: column["type_generic"] for column in answer["columns"]}
    same([types[name] for name in ("birthdate", "weight", "admitted_at", "smoker", "visits")],
         [TEMPORAL, NUMBER, TEMPORAL, BOOLEAN, NUMBER])
    assert answer["data"], answer


@check("SQL Lab: history and events, json, a CTE")
def _():
    answer = lab(f"SELECT version, last_name FROM patient_history WHERE aggregate_id = '{OWN}01' ORDER BY version")
    same(answer["data"], [{"version": 1, "last_name": "King"}, {"version": 2, "last_name": "Lovelace"}])
    answer = lab(f"""WITH mine AS (SELECT * FROM patient_events WHERE aggregate_id = '{OWN}01')
        SELECT event_type, payload ->> 'last_name' AS name FROM mine ORDER BY version""")
    same([row["name"] for row in answer["data"]], ["King", "Lovelace"])


@check("SQL Lab: the past through the history, as AS OF has it")
def _():
    # Superset parses every statement itself before it sends it, and its parser knows no AS OF.
    said = lab("SELECT * FROM patient AS OF VERSION 1", 422)["errors"][0]
    same((said["error_type"], "VERSION" in said["message"]), ("INVALID_SQL_ERROR", True))
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT valid_from FROM patient_history WHERE aggregate_id = '{OWN}06'")
        (moment,) = cursor.fetchone()
        cursor.execute(f"SELECT aggregate_id FROM patient AS OF TIMESTAMP %s WHERE aggregate_id LIKE '{OWN}%%' ORDER BY 1", (moment,))
        then = [row[0] for row in cursor.fetchall()]
    connection.close()
    answer = lab(f"""SELECT aggregate_id FROM patient_history WHERE aggregate_id LIKE '{OWN}%'
        AND valid_from <= '{moment.isoformat()}' AND (valid_to IS NULL OR valid_to > '{moment.isoformat()}') ORDER BY 1""")
    same(([row["aggregate_id"] for row in answer["data"]], len(then)), (then, 6))


@check("SQL Lab: an error is shown, and the next query runs")
def _():
    said = lab("SELECT nope FROM patient", 500)["errors"][0]
    same((said["error_type"], '"nope"' in said["message"]), ("COLUMN_DOES_NOT_EXIST_ERROR", True))
    same(lab("SELECT 1 AS one")["data"], [{"one": 1}])


@check("datasets of the aggregate and of its history, time columns found")
def _():
    for name, table in (("dataset", "patient"), ("history", "patient_history")):
        body = {"database": seen["database"], "schema": "public", "table_name": table}
        made = ask("post", "dataset/", 201, json=body)
        seen[name] = made["id"]
        columns = {column["column_name"]: column for column in made["data"]["columns"]}
        same([columns[column]["is_dttm"] for column in ("admitted_at", "birthdate", "weight")], [True, True, False])
        same([columns[column]["type_generic"] for column in ("admitted_at", "weight", "smoker", "visits")],
             [TEMPORAL, NUMBER, BOOLEAN, NUMBER])


@check("a chart: GROUP BY month and a boolean, typed")
def _():
    result = chart(
        columns=[axis("admitted_at", "P1M"), "smoker"],
        metrics=[COUNT, metric("AVG", "weight", "mean"), metric("SUM", "visits", "visits")],
        orderby=[["n", False]],
    )
    same((result["rowcount"], len(result["data"])), (12, 12))
    same(dict(zip(result["colnames"], result["coltypes"])),
         {"admitted_at": TEMPORAL, "smoker": BOOLEAN, "n": NUMBER, "mean": NUMBER, "visits": NUMBER})
    assert "DATE_TRUNC('month', admitted_at)" in result["query"], result["query"]
    march = next(row for row in result["data"] if row["visits"] == 3)
    same((march["smoker"], march["mean"], march["n"]), (True, 64.5, 1))


@check("a chart over a time range")
def _():
    result = chart(
        columns=[axis("admitted_at", "P3M")],
        metrics=[COUNT],
        granularity="admitted_at",
        time_range="2026-01-01 : 2026-07-01",
        extras={"time_grain_sqla": "P3M"},
    )
    same(sorted(row["n"] for row in result["data"]), [3, 3])


@check("every time grain that Superset knows")
def _():
    from superset.db_engine_specs.postgres import PostgresEngineSpec

    with HTTP.application.app_context():
        grains = [grain.duration for grain in PostgresEngineSpec.get_time_grains() if grain.duration]
    assert len(grains) > 8, grains
    for grain in grains:
        result = chart(columns=[axis("admitted_at", grain)], metrics=[COUNT])
        same((grain, sum(row["n"] for row in result["data"]), result["coltypes"][0]), (grain, 12, TEMPORAL))


@check("a chart's filters: numbers, booleans, lists, null")
def _():
    def ids(*filters):
        return chart(columns=["aggregate_id"], metrics=[COUNT], filters=list(filters))["rowcount"]

    same(ids({"col": "weight", "op": ">", "val": 70}), 4)
    same(ids({"col": "smoker", "op": "IS TRUE"}), 4)
    same(ids({"col": "visits", "op": "IN", "val": [1, 2]}), 2)
    same(ids({"col": "first_name", "op": "IS NULL"}), 0)


@check("a table chart of raw rows, and a chart of the history")
def _():
    raw = chart(columns=["aggregate_id", "admitted_at", "weight", "smoker"], metrics=[], orderby=[["aggregate_id", True]])
    same((raw["rowcount"], raw["coltypes"]), (12, [STRING, TEMPORAL, NUMBER, BOOLEAN]))
    history = chart(dataset=seen["history"], columns=["event_type"], metrics=[COUNT])
    same({row["event_type"]: row["n"] for row in history["data"]}, {"patient_created": 12, "patient_updated": 1})


@check("a virtual dataset: a query as a chart's source")
def _():
    sql = "SELECT h.aggregate_id, h.version, h.last_name, h.valid_from FROM patient_history h WHERE h.version = 1"
    body = {"database": seen["database"], "schema": "public", "table_name": "first versions", "sql": sql}
    made = ask("post", "dataset/", 201, json=body)
    result = chart(dataset=made["id"], columns=["last_name"], metrics=[COUNT])
    same(result["data"], [{"last_name": "King", "n": 12}])


@check("values for a filter box, distinct")
def _():
    answer = ask("get", f"datasource/table/{seen['dataset']}/column/smoker/values/")
    assert {True, False} <= set(answer["result"]), answer


@check("nothing is written: DML is refused")
def _():
    for sql in ("UPDATE patient SET visits = 0", "DELETE FROM patient", "CREATE TABLE x AS SELECT 1"):
        lab(sql, 500)


HOME.cleanup()
finish(f"apache-superset {importlib.metadata.version('apache-superset')}, psycopg2 {psycopg2.__version__.split()[0]}")
