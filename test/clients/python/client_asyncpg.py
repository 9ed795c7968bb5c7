"""asyncpg: binary from the first query, prepared statements, cursors, COPY both ways, LISTEN, timeouts."""

import asyncio
import datetime
import io
import json

import asyncpg

from checks import ADMITTED, FIELDS, ROW, WEIGHT, acheck, finish, same

CREATED = (
    f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS})"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING version, position, event_id"
)
UPDATED = (
    "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2)"
    " RETURNING version, position, event_id"
)
ID = "asyncpg-1"


async def fails(sqlstate, awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        same(error.sqlstate, sqlstate)
        return error
    raise AssertionError(f"no error where {sqlstate} was due")


async def main():
    connection = await asyncpg.connect(ssl=False)
    seen = {}

    async def append():
        row = await connection.fetchrow(CREATED, ID, *ROW)
        same((row["version"], type(row["position"])), (1, int))
        seen.update(row)

    async def again():
        await asyncio.sleep(0.02)
        seen["between"] = datetime.datetime.now(datetime.timezone.utc)
        await asyncio.sleep(0.02)
        same((await connection.fetchrow(UPDATED, ID, "Lovelace"))["version"], 2)

    async def read():
        row = await connection.fetchrow(f"SELECT {FIELDS} FROM patient WHERE aggregate_id = $1", ID)
        same(tuple(row), ("Ada", "Lovelace", *ROW[2:]))

    async def version():
        query = f"SELECT {FIELDS} FROM patient AS OF VERSION $1 WHERE aggregate_id = $2"
        same(tuple(await connection.fetchrow(query, 1, ID)), ROW)

    async def timestamp():
        query = "SELECT p.last_name FROM patient AS OF TIMESTAMP $1 p WHERE p.aggregate_id = $2"
        same(await connection.fetchval(query, seen["between"], ID), "King")

    async def position():
        query = "SELECT last_name FROM patient AS OF POSITION $1 WHERE aggregate_id = $2"
        same(await connection.fetchval(query, seen["position"], ID), "King")

    async def history():
        query = "SELECT version, last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version"
        same([tuple(row) for row in await connection.fetch(query, ID)], [(1, "King"), (2, "Lovelace")])
        query = "SELECT event_id, payload FROM patient_events WHERE aggregate_id = $1 ORDER BY version"
        rows = await connection.fetch(query, ID)
        same(rows[0]["event_id"], seen["event_id"])
        same(json.loads(rows[1]["payload"]), {"last_name": "Lovelace"})

    await acheck("append", append)
    await acheck("append again", again)
    await acheck("read state, typed (binary)", read)
    await acheck("AS OF VERSION $n", version)
    await acheck("AS OF TIMESTAMP $n", timestamp)
    await acheck("AS OF POSITION $n", position)
    await acheck("history and events", history)

    async def unknown_field():
        query = "INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ($1, $2)"
        error = await fails("42703", connection.execute(query, ID, "x"))
        same(type(error), asyncpg.UndefinedColumnError)

    async def update():
        await fails("0A000", connection.execute("UPDATE patient SET visits = $1", 1))

    async def expected():
        query = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, $2) EXPECT VERSION $3"
        await fails("40001", connection.execute(query, ID, 1, 9))

    async def goes_on():
        same(await connection.fetchval("SELECT version FROM patient WHERE aggregate_id = $1", ID), 2)

    await acheck("error: unknown field 42703", unknown_field)
    await acheck("error: UPDATE 0A000", update)
    await acheck("error: expected version 40001", expected)
    await acheck("goes on after errors", goes_on)

    async def own_writes():
        query = "SELECT last_name FROM patient WHERE aggregate_id = $1"
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(UPDATED, ID, "Byron")
        same(await connection.fetchval(query, ID), "Byron")
        await transaction.rollback()
        same(await connection.fetchval(query, ID), "Lovelace")

    async def commits():
        async with connection.transaction():
            await connection.execute(UPDATED, "asyncpg-2", "two")
            await connection.execute(UPDATED, "asyncpg-3", "three")
        query = "SELECT count(*) FROM patient WHERE aggregate_id = ANY($1)"
        same(await connection.fetchval(query, ["asyncpg-2", "asyncpg-3"]), 2)

    async def nested():
        async with connection.transaction():
            await connection.execute(UPDATED, "asyncpg-4", "outer")
            try:
                async with connection.transaction():
                    await connection.execute(UPDATED, "asyncpg-4", "inner")
                    await connection.execute("DELETE FROM patient")
            except asyncpg.FeatureNotSupportedError:
                pass
        same(await connection.fetchval("SELECT version FROM patient WHERE aggregate_id = 'asyncpg-4'"), 1)

    await acheck("transaction: reads its own writes, rolls back", own_writes)
    await acheck("transaction: commits several aggregates", commits)
    await acheck("transaction: nested, as a savepoint", nested)

    async def describes():
        statement = await connection.prepare(UPDATED)
        same([kind.name for kind in statement.get_parameters()], ["text", "text"])
        same(
            [(column.name, column.type.name) for column in statement.get_attributes()],
            [("version", "int8"), ("position", "int8"), ("event_id", "uuid")],
        )
        statement = await connection.prepare(CREATED)
        same(
            [kind.name for kind in statement.get_parameters()],
            ["text", "text", "text", "date", "numeric", "timestamptz", "bool", "int4"],
        )
        statement = await connection.prepare(
            f"SELECT {FIELDS} FROM patient AS OF VERSION $1 WHERE aggregate_id = $2 AND weight > $3"
        )
        same([kind.name for kind in statement.get_parameters()], ["int8", "text", "numeric"])
        same(
            [column.type.name for column in statement.get_attributes()],
            ["text", "text", "date", "numeric", "timestamptz", "bool", "int4"],
        )
        same(len(await statement.fetch(1, ID, WEIGHT - 1)), 1)

    async def many():
        rows = [(f"asyncpg-many-{number}", *ROW) for number in range(200)]
        await connection.executemany(CREATED, rows)
        query = "SELECT count(*) FROM patient WHERE aggregate_id LIKE 'asyncpg-many-%'"
        same(await connection.fetchval(query), 200)

    async def many_is_atomic():
        try:
            await connection.executemany(
                "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2) EXPECT VERSION 0",
                [("asyncpg-5", "a"), ("asyncpg-5", "b")],
            )
        except asyncpg.SerializationError:
            pass
        same(await connection.fetchval("SELECT count(*) FROM patient WHERE aggregate_id = 'asyncpg-5'"), 0)

    async def fetchmany():
        statement = await connection.prepare(UPDATED)
        rows = await connection.fetchmany(UPDATED, [("asyncpg-6", str(number)) for number in range(10)])
        same([row["version"] for row in rows], list(range(1, 11)))
        same((await statement.fetchrow("asyncpg-6", "x"))["version"], 11)

    async def cursor():
        async with connection.transaction():
            query = "SELECT version FROM patient_history WHERE aggregate_id = $1 ORDER BY version"
            versions = [row["version"] async for row in connection.cursor(query, "asyncpg-6", prefetch=3)]
            same(versions, list(range(1, 12)))
            manual = await connection.cursor("SELECT generate_series(1, 100) AS n FROM patient LIMIT 100")
            await manual.forward(10)
            same([row["n"] for row in await manual.fetch(5)], [11, 12, 13, 14, 15])

    async def returning_cursor():
        async with connection.transaction():
            query = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, 1), ($1, 2), ($1, 3) RETURNING version"
            cursor = await connection.cursor(query, "asyncpg-7")
            same([row["version"] for row in await cursor.fetch(2)], [1, 2])
            same([row["version"] for row in await cursor.fetch(2)], [3])

    await acheck("describes dialect statements before values", describes)
    await acheck("executemany", many)
    await acheck("executemany is atomic", many_is_atomic)
    await acheck("fetchmany", fetchmany)
    await acheck("cursor over history", cursor)
    await acheck("cursor over RETURNING", returning_cursor)

    async def copy_out():
        out = io.BytesIO()
        query = "SELECT aggregate_id, visits FROM patient WHERE aggregate_id LIKE 'asyncpg-many-%'"
        same(await connection.copy_from_query(query, output=out, format="csv", header=True), "COPY 200")
        same(len(out.getvalue().splitlines()), 201)
        out = io.BytesIO()
        same(await connection.copy_from_query(query, output=out, format="binary"), "COPY 200")
        same(out.getvalue()[:11], b"PGCOPY\n\xff\r\n\0")
        out = io.BytesIO()
        query = "SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2"
        same(await connection.copy_from_query(query, 1, ID, output=out), "COPY 1")
        same(out.getvalue(), b"King\n")

    async def copy_table_out():
        out = io.BytesIO()
        said = await connection.copy_from_table("patient", columns=["aggregate_id", "smoker"], output=out)
        same(said, f"COPY {len(out.getvalue().splitlines())}")

    async def copy_in():
        # asyncpg's own copy_to_table names a table, so the dialect's COPY goes through the protocol below it.
        async def data():
            for number in range(100):
                yield f"asyncpg-copy-{number},Name {number}\n".encode()

        statement = "COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv)"
        same(await connection._copy_in(statement, data(), 10), "COPY 100")
        query = "SELECT last_name FROM patient WHERE aggregate_id = 'asyncpg-copy-42'"
        same(await connection.fetchval(query), "Name 42")

    async def copy_to_state():
        await fails("0A000", connection.copy_records_to_table("patient", records=[("x", 1)], columns=["aggregate_id", "visits"]))
        same(await connection.fetchval("SELECT 1"), 1)

    await acheck("COPY a query out, csv, binary, with parameters", copy_out)
    await acheck("COPY a table out", copy_table_out)
    await acheck("COPY EVENTS in", copy_in)
    await acheck("COPY into state: refused 0A000", copy_to_state)

    async def listen():
        heard = asyncio.Queue()
        listener = await asyncpg.connect(ssl=False)
        await listener.add_listener("patient", lambda *said: heard.put_nowait(said))
        await connection.execute(UPDATED, "asyncpg-8", "x")
        _, _, channel, payload = await asyncio.wait_for(heard.get(), 5)
        same((channel, json.loads(payload)["aggregate_id"]), ("patient", "asyncpg-8"))
        await listener.close()

    async def timeout():
        try:
            await connection.fetch("SELECT pg_sleep(30)", timeout=0.2)
        except (asyncio.TimeoutError, TimeoutError):
            pass
        else:
            raise AssertionError("no timeout")
        same(await connection.fetchval("SELECT 1"), 1)

    async def settings():
        other = await asyncpg.connect(
            ssl=False, server_settings={"application_name": "clients", "statement_timeout": "150"}
        )
        same(await other.fetchval("SHOW application_name"), "clients")
        await fails("57014", other.fetch("SELECT pg_sleep(5)"))
        same(other.get_server_version().major >= 15, True)
        await other.close()

    async def pool():
        async with asyncpg.create_pool(ssl=False, min_size=2, max_size=8) as connections:
            rows = await asyncio.gather(
                *(connections.fetchrow(UPDATED, "asyncpg-9", str(number)) for number in range(100))
            )
        same(sorted(row["version"] for row in rows), list(range(1, 101)))

    async def script():
        same(
            await connection.execute(
                "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('asyncpg-10', 1);"
                "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('asyncpg-10', 2)"
            ),
            "INSERT 0 1",
        )
        same(await connection.fetchval("SELECT version FROM patient WHERE aggregate_id = 'asyncpg-10'"), 2)

    async def composite():
        row = await connection.fetchval("SELECT p FROM patient p WHERE aggregate_id = $1", ID)
        same((row["aggregate_id"], row["weight"]), (ID, WEIGHT))
        same(await connection.fetchval("SELECT array_agg(admitted_at) FROM patient WHERE aggregate_id = $1", ID), [ADMITTED])

    async def codec():
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        query = "SELECT payload FROM patient_events WHERE aggregate_id = $1 AND version = $2"
        same(await connection.fetchval(query, ID, 2), {"last_name": "Lovelace"})
        query = "INSERT INTO patient EVENTS (aggregate_id, event_type, payload) VALUES ($1, $2, $3) RETURNING version"
        same(await connection.fetchval(query, "asyncpg-11", "patient_updated", {"last_name": "x"}), 1)

    async def wrong_password():
        await fails("28P01", asyncpg.connect(ssl=False, password="not a token"))

    await acheck("LISTEN", listen)
    await acheck("timeout cancels and the connection goes on", timeout)
    await acheck("settings of the startup packet", settings)
    await acheck("pool, concurrent appends to one aggregate", pool)
    await acheck("several statements in one", script)
    await acheck("row types introspected, arrays", composite)
    await acheck("jsonb codec", codec)
    await acheck("reset", connection.reset)
    await acheck("wrong password 28P01", wrong_password)
    await connection.close()


asyncio.run(main())
finish(f"asyncpg {asyncpg.__version__}")
