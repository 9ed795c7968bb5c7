//! sqlx: binary, its cache of prepared statements, a pool, transactions, COPY, LISTEN. No macros.
mod checks;

use checks::{env, locked, same, Checks, Outcome};
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolCopyExt, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{Column, Executor, Row, Statement, TypeInfo};
use std::time::Duration;
use time::{macros::datetime, Date, Month, OffsetDateTime};
use uuid::Uuid;

const ID: &str = "sqlx-1";
const FIELDS: &str = "first_name, last_name, birthdate, weight, admitted_at, smoker, visits";
const CREATED: &str = "INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate, weight, \
    admitted_at, smoker, visits) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING version, position, event_id";
const UPDATED: &str = "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2) \
    RETURNING version, position, event_id";
const NAME: &str = "SELECT last_name FROM patient WHERE aggregate_id = $1";
const ADMITTED: OffsetDateTime = datetime!(2026-01-02 03:04:05.678901 UTC);

fn birth() -> Date {
    Date::from_calendar_date(1815, Month::December, 10).expect("a date")
}

fn options() -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&env("PGHOST"))
        .port(env("PGPORT").parse().expect("a port"))
        .username(&env("PGUSER"))
        .password(&env("PGPASSWORD"))
        .database(&env("PGDATABASE"))
        .ssl_mode(PgSslMode::Disable)
}

fn fails<T>(result: Result<T, sqlx::Error>, state: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("no error where {state} was due").into()),
        Err(error) => match error.as_database_error().and_then(|error| error.code()) {
            Some(code) => same(code.as_ref(), state),
            None => Err(Box::new(error)),
        },
    }
}

fn same_state(row: &PgRow, last_name: &str) -> Outcome {
    same(row.try_get::<&str, _>("first_name")?, "Ada")?;
    same(row.try_get::<&str, _>("last_name")?, last_name)?;
    same(row.try_get::<Date, _>("birthdate")?, birth())?;
    same(row.try_get::<Decimal, _>("weight")?.to_string().as_str(), "61.500")?;
    same(row.try_get::<OffsetDateTime, _>("admitted_at")?, ADMITTED)?;
    same(row.try_get::<bool, _>("smoker")?, true)?;
    same(row.try_get::<i32, _>("visits")?, 3)
}

async fn name_of(pool: &PgPool, id: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(NAME).bind(id).fetch_one(pool).await
}

async fn run() -> Result<Checks, Box<dyn std::error::Error>> {
    let mut checks = Checks::default();
    let pool = PgPoolOptions::new().max_connections(8).connect_with(options()).await?;
    let mut position = 0i64;
    let mut between = OffsetDateTime::now_utc();

    checks.check("append", async {
        let row = sqlx::query(CREATED)
            .bind(ID)
            .bind("Ada")
            .bind("King")
            .bind(birth())
            .bind(Decimal::new(61500, 3))
            .bind(ADMITTED)
            .bind(true)
            .bind(3i32)
            .fetch_one(&pool)
            .await?;
        position = row.try_get("position")?;
        row.try_get::<Uuid, _>("event_id")?;
        same((row.try_get::<i64, _>("version")?, position > 0), (1, true))
    }).await;
    checks.check("append again", async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        between = OffsetDateTime::now_utc();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let done = sqlx::query(UPDATED).bind(ID).bind("Lovelace").execute(&pool).await?;
        same(done.rows_affected(), 1)
    }).await;
    checks.check("read state, typed (binary)", async {
        let sql = format!("SELECT {FIELDS} FROM patient WHERE aggregate_id = $1");
        same_state(&sqlx::query(&sql).bind(ID).fetch_one(&pool).await?, "Lovelace")
    }).await;
    checks.check("AS OF VERSION $n", async {
        let sql = format!("SELECT {FIELDS} FROM patient AS OF VERSION $1 WHERE aggregate_id = $2");
        same_state(&sqlx::query(&sql).bind(1i64).bind(ID).fetch_one(&pool).await?, "King")?;
        same_state(&sqlx::query(&sql).bind(1i32).bind(ID).fetch_one(&pool).await?, "King")
    }).await;
    checks.check("AS OF TIMESTAMP $n", async {
        let sql = "SELECT p.last_name FROM patient AS OF TIMESTAMP $1 p WHERE p.aggregate_id = $2";
        let name: String = sqlx::query_scalar(sql).bind(between).bind(ID).fetch_one(&pool).await?;
        same(name.as_str(), "King")
    }).await;
    checks.check("AS OF POSITION $n", async {
        let sql = "SELECT last_name FROM patient AS OF POSITION $1 WHERE aggregate_id = $2";
        let name: String = sqlx::query_scalar(sql).bind(position).bind(ID).fetch_one(&pool).await?;
        same(name.as_str(), "King")
    }).await;
    checks.check("history and events", async {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT version, last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version")
                .bind(ID)
                .fetch_all(&pool)
                .await?;
        same(rows, vec![(1, "King".into()), (2, "Lovelace".into())])?;
        let (event, payload): (Uuid, serde_json::Value) =
            sqlx::query_as("SELECT event_id, payload FROM patient_events WHERE aggregate_id = $1 AND version = 2")
                .bind(ID)
                .fetch_one(&pool)
                .await?;
        same((event.is_nil(), payload), (false, serde_json::json!({ "last_name": "Lovelace" })))
    }).await;
    checks.check("error: unknown field 42703", async {
        let sql = "INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ($1, $2)";
        fails(sqlx::query(sql).bind(ID).bind("x").execute(&pool).await, "42703")
    }).await;
    checks.check("error: UPDATE 0A000", async {
        fails(sqlx::query("UPDATE patient SET visits = $1").bind(1i32).execute(&pool).await, "0A000")
    }).await;
    checks.check("error: expected version 40001", async {
        let sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, $2) EXPECT VERSION $3";
        fails(sqlx::query(sql).bind(ID).bind(1i32).bind(9i64).execute(&pool).await, "40001")
    }).await;
    checks.check("goes on after errors", async { same(name_of(&pool, ID).await?.as_str(), "Lovelace") }).await;
    checks.check("transaction: reads its own writes, rolls back", async {
        let mut transaction = pool.begin().await?;
        sqlx::query(UPDATED).bind(ID).bind("Byron").execute(&mut *transaction).await?;
        let name: String = sqlx::query_scalar(NAME).bind(ID).fetch_one(&mut *transaction).await?;
        same(name.as_str(), "Byron")?;
        transaction.rollback().await?;
        same(name_of(&pool, ID).await?.as_str(), "Lovelace")
    }).await;
    checks.check("transaction: dropped, rolled back", async {
        let mut transaction = pool.begin().await?;
        sqlx::query(UPDATED).bind(ID).bind("Byron").execute(&mut *transaction).await?;
        drop(transaction);
        same(name_of(&pool, ID).await?.as_str(), "Lovelace")
    }).await;
    checks.check("transaction: nested, commits several aggregates", async {
        let mut transaction = pool.begin().await?;
        sqlx::query(UPDATED).bind("sqlx-2").bind("outer").execute(&mut *transaction).await?;
        let mut inner = sqlx::Connection::begin(&mut *transaction).await?;
        sqlx::query(UPDATED).bind("sqlx-2").bind("inner").execute(&mut *inner).await?;
        fails(sqlx::query("DELETE FROM patient").execute(&mut *inner).await, "0A000")?;
        inner.rollback().await?;
        sqlx::query(UPDATED).bind("sqlx-3").bind("other").execute(&mut *transaction).await?;
        transaction.commit().await?;
        same((name_of(&pool, "sqlx-2").await?, name_of(&pool, "sqlx-3").await?), ("outer".into(), "other".into()))
    }).await;
    checks.check("describes a dialect statement", async {
        let statement = pool.prepare(CREATED).await?;
        let columns: Vec<(&str, &str)> = statement.columns().iter().map(|column| (column.name(), column.type_info().name())).collect();
        same(columns, vec![("version", "INT8"), ("position", "INT8"), ("event_id", "UUID")])
    }).await;
    checks.check("describe with nullability", async {
        let described = pool.describe("SELECT aggregate_id, weight FROM patient WHERE visits > $1").await?;
        same(described.columns().len(), 2)?;
        same((described.nullable(0), described.nullable(1)), (Some(false), Some(true)))
    }).await;
    checks.check("cached statement, used again", async {
        for version in 1..=8i64 {
            let name = format!("n{version}");
            let row = sqlx::query(UPDATED).bind("sqlx-4").bind(&name).fetch_one(&pool).await?;
            same(row.try_get::<i64, _>(0)?, version)?;
            let sql = "SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2";
            let back: String = sqlx::query_scalar(sql).bind(version).bind("sqlx-4").fetch_one(&pool).await?;
            same(back, name)?;
        }
        Ok(())
    }).await;
    checks.check("not persistent", async {
        let row = sqlx::query(UPDATED).bind("sqlx-5").bind("x").persistent(false).fetch_one(&pool).await?;
        same(row.try_get::<i64, _>(0)?, 1)
    }).await;
    checks.check("raw, several statements", async {
        pool.execute(
            "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('sqlx-6', 1); \
             INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('sqlx-6', 2)",
        )
        .await?;
        let visits: i32 = sqlx::query_scalar("SELECT visits FROM patient WHERE aggregate_id = 'sqlx-6'").fetch_one(&pool).await?;
        same(visits, 2)
    }).await;
    checks.check("streamed rows", async {
        let mut rows = sqlx::query("SELECT generate_series(1, 2000) AS n FROM patient WHERE aggregate_id = $1").bind(ID).fetch(&pool);
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            count += 1;
            same(row.try_get::<i32, _>("n")?, count)?;
        }
        same(count, 2000)
    }).await;
    checks.check("UNNEST arrays into an append", async {
        let ids: Vec<String> = (0..20).map(|number| format!("sqlx-unnest-{number}")).collect();
        let visits: Vec<i32> = (0..20).collect();
        let sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) SELECT * FROM UNNEST($1::text[], $2::int[])";
        same(sqlx::query(sql).bind(&ids).bind(&visits).execute(&pool).await?.rows_affected(), 20)
    }).await;
    checks.check("COPY EVENTS in, COPY out", async {
        let mut sink = pool.copy_in_raw("COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv)").await?;
        for number in 0..500 {
            sink.send(format!("sqlx-copy-{number},Name {number}\n").into_bytes()).await?;
        }
        same(sink.finish().await?, 500)?;
        let mut out = pool.copy_out_raw("COPY (SELECT last_name FROM patient WHERE aggregate_id = 'sqlx-copy-77') TO STDOUT").await?;
        let mut text = Vec::new();
        while let Some(part) = out.try_next().await? {
            text.extend_from_slice(&part);
        }
        same(text, b"Name 77\n".to_vec())
    }).await;
    checks.check("LISTEN", async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("patient").await?;
        sqlx::query(UPDATED).bind("sqlx-7").bind("x").execute(&pool).await?;
        let note = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await??;
        let event: serde_json::Value = serde_json::from_str(note.payload())?;
        same(event["aggregate_id"].as_str(), Some("sqlx-7"))
    }).await;
    checks.check("concurrent appends to one aggregate, a pool", async {
        let appends = (0..100).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { sqlx::query(UPDATED).bind("sqlx-8").bind(number.to_string()).execute(&pool).await })
        });
        for append in appends.collect::<Vec<_>>() {
            append.await??;
        }
        let version: i64 = sqlx::query_scalar("SELECT version FROM patient WHERE aggregate_id = 'sqlx-8'").fetch_one(&pool).await?;
        same(version, 100)
    }).await;
    checks.check("wrong password 28P01", async {
        fails(PgPoolOptions::new().connect_with(options().password("not a token")).await, "28P01")
    }).await;
    pool.close().await;
    Ok(checks)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run()) {
        Ok(checks) => checks.finish(&format!("sqlx {}", locked("sqlx"))),
        Err(error) => {
            println!("not ok connect: {error}");
            std::process::exit(1);
        }
    }
}
