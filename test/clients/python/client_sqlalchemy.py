"""SQLAlchemy and pandas: reflection, Core, a model mapped read-only, read_sql, over psycopg 3, psycopg2 and asyncpg."""

import asyncio
import datetime
import os
import time

import pandas
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from checks import ADMITTED, BIRTH, FIELDS, ROW, check, fails, finish, same

CREATED = sa.text(
    f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS})"
    " VALUES (:id, :first, :last, :birth, :weight, :admitted, :smoker, :visits) RETURNING version, position, event_id"
)
UPDATED = sa.text(
    "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (:id, :name) RETURNING version"
)
NAMES = ("first", "last", "birth", "weight", "admitted", "smoker", "visits")


def url(driver):
    return sa.URL.create(
        f"postgresql+{driver}",
        os.environ["PGUSER"],
        os.environ["PGPASSWORD"],
        os.environ["PGHOST"],
        int(os.environ["PGPORT"]),
        os.environ["PGDATABASE"],
    )


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patient"

    aggregate_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    birthdate: Mapped[datetime.date | None]
    weight: Mapped[float | None] = mapped_column(sa.Numeric(8, 3))
    admitted_at: Mapped[datetime.datetime | None] = mapped_column(sa.DateTime(timezone=True))
    smoker: Mapped[bool | None]
    visits: Mapped[int | None]


def core(driver):
    engine = sa.create_engine(url(driver))
    own = f"sqlalchemy-{driver}"
    seen = {}

    def state(error):
        while error is not None:
            cause = getattr(error, "orig", error)
            code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
            if code:
                return code
            error = error.__cause__

    @check(f"{driver}: append, and again")
    def _():
        with engine.begin() as connection:
            row = connection.execute(CREATED, dict(zip(NAMES, ROW), id=own)).one()
            same(row.version, 1)
        time.sleep(0.02)
        seen["between"] = datetime.datetime.now(datetime.timezone.utc)
        time.sleep(0.02)
        with engine.begin() as connection:
            same(connection.execute(UPDATED, {"id": own, "name": "Lovelace"}).scalar_one(), 2)

    @check(f"{driver}: read state, typed")
    def _():
        with engine.connect() as connection:
            row = connection.execute(sa.text(f"SELECT {FIELDS} FROM patient WHERE aggregate_id = :id"), {"id": own}).one()
        same(tuple(row), ("Ada", "Lovelace", *ROW[2:]))

    @check(f"{driver}: AS OF VERSION and TIMESTAMP")
    def _():
        with engine.connect() as connection:
            for clause, value in (("VERSION", 1), ("TIMESTAMP", seen["between"])):
                query = sa.text(f"SELECT {FIELDS} FROM patient AS OF {clause} :at WHERE aggregate_id = :id")
                same(tuple(connection.execute(query, {"at": value, "id": own}).one()), ROW)

    @check(f"{driver}: errors 42703, 0A000, 40001, and goes on")
    def _():
        with engine.connect() as connection:
            for sqlstate, statement in (
                ("42703", f"INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ('{own}', 1)"),
                ("0A000", "UPDATE patient SET visits = 1"),
                ("40001", f"INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('{own}', 1) EXPECT VERSION 9"),
            ):
                fails(sqlstate, lambda: connection.execute(sa.text(statement)), state)
                connection.rollback()
            same(connection.execute(sa.text("SELECT version FROM patient WHERE aggregate_id = :id"), {"id": own}).scalar_one(), 2)

    @check(f"{driver}: transaction reads its own writes, rolls back, savepoint")
    def _():
        query = sa.select(Patient.last_name).where(Patient.aggregate_id == own)
        with engine.connect() as connection:
            connection.execute(UPDATED, {"id": own, "name": "Byron"})
            same(connection.execute(query).scalar_one(), "Byron")
            with connection.begin_nested() as savepoint:
                connection.execute(UPDATED, {"id": own, "name": "Gordon"})
                savepoint.rollback()
            same(connection.execute(query).scalar_one(), "Byron")
            connection.rollback()
            same(connection.execute(query).scalar_one(), "Lovelace")

    @check(f"{driver}: many parameters sets")
    def _():
        with engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (:id, :visits)"),
                [{"id": f"{own}-many", "visits": number} for number in range(100)],
            )
            found = connection.execute(sa.text("SELECT version FROM patient WHERE aggregate_id = :id"), {"id": f"{own}-many"})
            same(found.scalar_one(), 100)

    @check(f"{driver}: reflection of an aggregate")
    def _():
        inspector = sa.inspect(engine)
        assert {"eventful", "public"} <= set(inspector.get_schema_names())
        same(inspector.get_table_names(), ["patient"])
        same(sorted(inspector.get_view_names()), ["patient_events", "patient_history"])
        columns = {column["name"]: column for column in inspector.get_columns("patient")}
        same(
            [str(columns[name]["type"]) for name in FIELDS.split(", ")],
            ["TEXT", "TEXT", "DATE", "NUMERIC(8, 3)", "TIMESTAMP", "BOOLEAN", "INTEGER"],
        )
        same((columns["aggregate_id"]["nullable"], columns["weight"]["nullable"]), (False, True))
        same(inspector.get_pk_constraint("patient")["constrained_columns"], ["aggregate_id"])
        same(inspector.get_table_comment("patient"), {"text": "Somebody who is cared for"})
        for ask in ("get_foreign_keys", "get_indexes", "get_unique_constraints", "get_check_constraints"):
            getattr(inspector, ask)("patient")

    @check(f"{driver}: MetaData.reflect with views and every schema")
    def _():
        for schema in (None, "eventful"):
            metadata = sa.MetaData()
            metadata.reflect(engine, views=True, schema=schema)
            assert len(metadata.tables) > 2, metadata.tables.keys()
        table = sa.Table("patient", sa.MetaData(), autoload_with=engine)
        month = sa.func.date_trunc(sa.literal_column("'month'"), table.c.admitted_at)
        query = sa.select(sa.func.count(), month).group_by(month)
        with engine.connect() as connection:
            assert connection.execute(query.where(table.c.smoker.is_(True))).all()

    @check(f"{driver}: Core over history and events, reflected")
    def _():
        metadata = sa.MetaData()
        history = sa.Table("patient_history", metadata, autoload_with=engine)
        events = sa.Table("patient_events", metadata, autoload_with=engine)
        with engine.connect() as connection:
            rows = connection.execute(
                sa.select(history.c.version, events.c.event_type, events.c.payload["last_name"].astext)
                .join(events, sa.and_(events.c.aggregate_id == history.c.aggregate_id, events.c.version == history.c.version))
                .where(history.c.aggregate_id == own)
                .order_by(history.c.version)
            ).all()
        same([tuple(row) for row in rows], [(1, "patient_created", "King"), (2, "patient_updated", "Lovelace")])

    @check(f"{driver}: a model mapped read-only")
    def _():
        with Session(engine) as session:
            patient = session.get(Patient, own)
            same((patient.last_name, patient.weight, patient.admitted_at), ("Lovelace", ROW[3], ADMITTED))
            query = sa.select(Patient).where(Patient.smoker, Patient.birthdate < datetime.date(1900, 1, 1))
            assert patient in session.scalars(query).all()
            past = sa.select(Patient).from_statement(
                sa.text("SELECT * FROM patient AS OF VERSION :at WHERE aggregate_id = :id")
            )
            session.expunge_all()
            same(session.scalars(past, {"at": 1, "id": own}).one().last_name, "King")

    @check(f"{driver}: a model that is changed is refused 0A000")
    def _():
        with Session(engine) as session:
            session.get(Patient, own).last_name = "Byron"
            fails("0A000", session.flush, state)
            session.rollback()
            same(session.get(Patient, own).last_name, "Lovelace")

    @check(f"{driver}: models of schema events, reflected, append and are read back")
    def _():
        base = automap_base()
        base.prepare(engine, schema="events")
        created, updated = base.classes.patient_created, base.classes.patient_updated
        mapped = f"{own}-mapped"
        with Session(engine) as session:
            first = created(aggregate_id=mapped, first_name="Ada", last_name="King", birthdate=BIRTH)
            session.add(first)
            session.flush()
            session.add_all([updated(aggregate_id=mapped, visits=visits) for visits in range(1, 4)])
            session.commit()
            # Read again by its key after the commit, with what only the commit knows.
            same((first.version, first.last_name, first.position > 0), (1, "King", True))
            same(session.scalars(sa.select(updated.visits).where(updated.aggregate_id == mapped).order_by(updated.version)).all(), [1, 2, 3])
            # What a model was not given stays as it is.
            row = session.get(Patient, mapped)
            same((row.version, row.first_name, row.last_name, row.visits), (4, "Ada", "King", 3))
            first.last_name = "Byron"
            fails("0A000", session.flush, state)

    @check(f"{driver}: stream_results")
    def _():
        query = sa.text("SELECT version FROM patient_history WHERE aggregate_id = :id ORDER BY version")
        with engine.connect().execution_options(stream_results=True, max_row_buffer=10) as connection:
            versions = [row.version for row in connection.execute(query, {"id": f"{own}-many"})]
        same(versions, list(range(1, 101)))

    @check(f"{driver}: isolation levels, pre-ping")
    def _():
        other = sa.create_engine(url(driver), pool_pre_ping=True, isolation_level="REPEATABLE READ")
        for _ in range(2):
            with other.connect() as connection:
                same(connection.get_isolation_level(), "REPEATABLE READ")
                connection.execute(sa.select(Patient.version).limit(1)).all()
        with other.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            same(connection.execute(UPDATED, {"id": f"{own}-auto", "name": "x"}).scalar_one(), 1)
        other.dispose()

    @check(f"{driver}: pandas read_sql of state, past and history")
    def _():
        with engine.connect() as connection:
            now = pandas.read_sql(sa.text("SELECT * FROM patient WHERE aggregate_id = :id"), connection, params={"id": own})
            same((str(now.admitted_at.dtype)[:10], str(now.smoker.dtype), str(now.visits.dtype)), ("datetime64", "bool", "int64"))
            past = pandas.read_sql(
                sa.text("SELECT last_name FROM patient AS OF VERSION :at WHERE aggregate_id = :id"),
                connection,
                params={"at": 1, "id": own},
            )
            same(list(past.last_name), ["King"])
            history = pandas.read_sql(
                sa.text("SELECT version, valid_from FROM patient_history WHERE aggregate_id = :id"),
                connection,
                params={"id": own},
                index_col="version",
            )
            same(sorted(history.index), [1, 2])

    @check(f"{driver}: pandas read_sql_table, in chunks")
    def _():
        with engine.connect() as connection:
            chunks = list(pandas.read_sql_table("patient", connection, chunksize=50))
            count = connection.execute(sa.text("SELECT count(*) FROM patient")).scalar_one()
        same(sum(map(len, chunks)), count)

    @check(f"{driver}: pandas to_sql into state is refused")
    def _():
        frame = pandas.DataFrame({"aggregate_id": ["x"], "visits": [1]})
        fails("0A000", lambda: frame.to_sql("patient", engine, if_exists="append", index=False), state)
        fails("0A000", lambda: frame.to_sql("other", engine, index=False), state)

    engine.dispose()


for name in ("psycopg", "psycopg2"):
    core(name)


@check("asyncpg: append, read, look back, reflect")
def _():
    async def run():
        engine = create_async_engine(url("asyncpg"))
        own = "sqlalchemy-asyncpg"
        async with engine.begin() as connection:
            row = (await connection.execute(CREATED, dict(zip(NAMES, ROW), id=own))).one()
            same(row.version, 1)
            same((await connection.execute(UPDATED, {"id": own, "name": "Lovelace"})).scalar_one(), 2)
        async with engine.begin() as connection:
            query = sa.text(f"SELECT {FIELDS} FROM patient AS OF VERSION :at WHERE aggregate_id = :id")
            same(tuple((await connection.execute(query, {"at": 1, "id": own})).one()), ROW)
            same(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()), ["patient"])
            found = await connection.execute(sa.select(Patient.last_name).where(Patient.aggregate_id == own))
            same(found.scalar_one(), "Lovelace")
        await engine.dispose()

    asyncio.run(run())


finish(f"SQLAlchemy {sa.__version__}, pandas {pandas.__version__}")
