"""SQLAlchemy's ORM, models mapped read-only: declared, deferred to reflection, made by automap; what they refuse."""

import datetime
import decimal
import os
import time

import sqlalchemy as sa
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship, selectinload

from checks import ADMITTED, BIRTH, FIELDS, ROW, check, fails, finish, same

OWN = "sqlalchemy-orm"
ENGINE = sa.create_engine(
    sa.URL.create(
        "postgresql+psycopg",
        os.environ["PGUSER"],
        os.environ["PGPASSWORD"],
        os.environ["PGHOST"],
        int(os.environ["PGPORT"]),
        os.environ["PGDATABASE"],
    )
)
CREATED = sa.text(
    f"INSERT INTO patient EVENTS patient_created (aggregate_id, {FIELDS})"
    " VALUES (:id, :first, :last, :birth, :weight, :admitted, :smoker, :visits) RETURNING version"
)
UPDATED = sa.text(
    "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (:id, :name) RETURNING version, position"
)
NAMES = ("first", "last", "birth", "weight", "admitted", "smoker", "visits")


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patient"

    aggregate_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger)
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    birthdate: Mapped[datetime.date | None]
    weight: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(8, 3))
    admitted_at: Mapped[datetime.datetime | None] = mapped_column(sa.DateTime(timezone=True))
    smoker: Mapped[bool | None]
    visits: Mapped[int | None]
    versions: Mapped[list["Version"]] = relationship(viewonly=True, order_by="Version.version")


class Version(Base):
    """One row a version, of a view: the mapper needs a key, the view has none to reflect."""

    __tablename__ = "patient_history"

    aggregate_id: Mapped[str] = mapped_column(sa.ForeignKey("patient.aggregate_id"), primary_key=True)
    version: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    last_name: Mapped[str | None]
    event_type: Mapped[str]
    valid_to: Mapped[datetime.datetime | None] = mapped_column(sa.DateTime(timezone=True))


def state(error):
    return getattr(error.orig, "sqlstate", None)


def append(session, name, identifier=OWN):
    return session.execute(UPDATED, {"id": identifier, "name": name}).one()


@check("append through the session, and again")
def _():
    with Session(ENGINE) as session, session.begin():
        same(session.execute(CREATED, dict(zip(NAMES, ROW), id=OWN)).scalar_one(), 1)
    time.sleep(0.02)
    with Session(ENGINE) as session, session.begin():
        same(append(session, "Lovelace").version, 2)


@check("read state, typed")
def _():
    with Session(ENGINE) as session:
        ada = session.get_one(Patient, OWN)
        same(
            (ada.version, ada.last_name, ada.birthdate, ada.weight, ada.admitted_at, ada.smoker, ada.visits),
            (2, "Lovelace", BIRTH, ROW[3], ADMITTED, True, 3),
        )


@check("the past as an entity: AS OF VERSION and TIMESTAMP through from_statement")
def _():
    with Session(ENGINE) as session:
        until = session.scalars(sa.select(Version.valid_to).where(Version.aggregate_id == OWN, Version.version == 1)).one()
    for clause, value in (("VERSION", 1), ("TIMESTAMP", until - datetime.timedelta(milliseconds=1))):
        with Session(ENGINE) as session:
            past = sa.text(f"SELECT * FROM patient AS OF {clause} :at WHERE aggregate_id = :id")
            ada = session.scalars(sa.select(Patient).from_statement(past), {"at": value, "id": OWN}).one()
            same((ada.version, ada.last_name, ada.weight), (1, "King", ROW[3]))


@check("the past beside the present: an alias of the entity over a sub-query")
def _():
    columns = [column for column in Patient.__table__.columns]
    past = sa.text("SELECT * FROM patient AS OF VERSION 1").columns(*columns).subquery("past")
    was = aliased(Patient, past)
    with Session(ENGINE) as session:
        query = sa.select(Patient.last_name, was.last_name).join(was, was.aggregate_id == Patient.aggregate_id)
        same(tuple(session.execute(query.where(Patient.aggregate_id == OWN)).one()), ("Lovelace", "King"))


@check("a relation to the history, lazy and eager")
def _():
    for options in ([], [selectinload(Patient.versions)]):
        with Session(ENGINE) as session:
            ada = session.get(Patient, OWN, options=options)
            same([(one.version, one.last_name) for one in ada.versions], [(1, "King"), (2, "Lovelace")])


@check("filters, aggregates, a window, exists")
def _():
    with Session(ENGINE) as session:
        mean = sa.select(sa.func.avg(Patient.weight), sa.func.count()).where(Patient.aggregate_id == OWN, Patient.smoker)
        same(tuple(session.execute(mean).one()), (ROW[3], 1))
        place = sa.func.row_number().over(partition_by=Version.aggregate_id, order_by=Version.version.desc())
        newest = sa.select(Version.version, place.label("place")).where(Version.aggregate_id == OWN).subquery()
        same(session.scalar(sa.select(newest.c.version).where(newest.c.place == 1)), 2)
        changed = sa.exists().where(Version.aggregate_id == Patient.aggregate_id, Version.version > 1)
        assert OWN in session.scalars(sa.select(Patient.aggregate_id).where(changed)).all()


@check("a changed, a new and a deleted object are refused 0A000, and the session goes on")
def _():
    with Session(ENGINE) as session:
        session.get_one(Patient, OWN).last_name = "Byron"
        same("INSERT INTO patient EVENTS" in str(fails("0A000", session.flush, state)), True)
        session.rollback()
        session.add(Patient(aggregate_id="x", version=1))
        fails("0A000", session.flush, state)
        session.rollback()
        session.delete(session.get_one(Patient, OWN))
        fails("0A000", session.commit, state)
        session.rollback()
        for statement in (sa.update(Patient).values(visits=1), sa.delete(Patient), sa.insert(Version).values(version=1)):
            fails("0A000", lambda: session.execute(statement), state)
            session.rollback()
        same(session.get_one(Patient, OWN).last_name, "Lovelace")


@check("create_all and drop_all are refused 0A000, unless there is nothing to do")
def _():
    Base.metadata.create_all(ENGINE)
    other = sa.MetaData()
    sa.Table("other", other, sa.Column("id", sa.Integer))
    fails("0A000", lambda: other.create_all(ENGINE), state)
    fails("0A000", lambda: Base.metadata.drop_all(ENGINE), state)


@check("errors 42703, 40001 through the session")
def _():
    with Session(ENGINE) as session:
        for sqlstate, statement in (
            ("42703", f"INSERT INTO patient EVENTS patient_updated (aggregate_id, nope) VALUES ('{OWN}', 1)"),
            ("40001", f"INSERT INTO patient EVENTS patient_updated (aggregate_id) VALUES ('{OWN}') EXPECT VERSION 9"),
        ):
            fails(sqlstate, lambda: session.execute(sa.text(statement)), state)
            session.rollback()
        same(session.get_one(Patient, OWN).version, 2)


@check("transaction: an append seen after refresh, a savepoint, rollback")
def _():
    with Session(ENGINE) as session:
        ada = session.get_one(Patient, OWN)
        append(session, "Byron")
        session.refresh(ada)
        same((ada.last_name, ada.version), ("Byron", 3))
        with session.begin_nested() as savepoint:
            append(session, "Gordon")
            savepoint.rollback()
        session.refresh(ada)
        same(ada.last_name, "Byron")
        session.rollback()
        same((ada.last_name, ada.version), ("Lovelace", 2))


@check("deferred reflection fills a class from the catalogue")
def _():
    class Other(DeclarativeBase):
        pass

    class Mirror(DeferredReflection, Other):
        __tablename__ = "patient"

    Mirror.prepare(ENGINE)
    with Session(ENGINE) as session:
        ada = session.get_one(Mirror, OWN)
        same((ada.last_name, ada.weight, ada.admitted_at, ada.smoker), ("Lovelace", ROW[3], ADMITTED, True))


@check("automap makes a class of every aggregate")
def _():
    base = automap_base()
    base.prepare(autoload_with=ENGINE)
    same(sorted(base.classes.keys()), ["patient"])
    with Session(ENGINE) as session:
        ada = session.get_one(base.classes.patient, OWN)
        same((ada.birthdate, ada.visits, ada.archived), (BIRTH, 3, False))
        ada.visits = 4
        fails("0A000", session.flush, state)


ENGINE.dispose()
finish(f"SQLAlchemy {sa.__version__} over psycopg")
