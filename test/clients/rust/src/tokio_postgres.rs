//! tokio-postgres: binary from the first query, prepared statements, pipelining, portals, COPY, LISTEN, cancellation.
mod checks;

use checks::{env, locked, same, Checks, Outcome};
use futures_util::{future, stream, SinkExt, StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use std::time::Duration;
use time::{macros::datetime, Date, Month, OffsetDateTime};
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Row, SimpleQueryMessage};
use uuid::Uuid;

const ID: &str = "tokio-postgres-1";
const FIELDS: &str = "first_name, last_name, birthdate, weight, admitted_at, smoker, visits";
const CREATED: &str = "INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate, weight, \
    admitted_at, smoker, visits) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING version, position, event_id";
const UPDATED: &str = "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2) \
    RETURNING version, position, event_id";
const ADMITTED: OffsetDateTime = datetime!(2026-01-02 03:04:05.678901 UTC);

fn birth() -> Date {
    Date::from_calendar_date(1815, Month::December, 10).expect("a date")
}

fn weight() -> Decimal {
    Decimal::new(61500, 3)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .host(env("PGHOST"))
        .port(env("PGPORT").parse().expect("a port"))
        .user(env("PGUSER"))
        .password(env("PGPASSWORD"))
        .dbname(env("PGDATABASE"));
    config
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn fails<T>(result: Result<T, Error>, state: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("no error where {state} was due").into()),
        Err(error) => match error.code() {
            Some(code) => same(code.code(), state),
            None => Err(Box::new(error)),
        },
    }
}

fn same_state(row: &Row, last_name: &str) -> Outcome {
    same(row.try_get::<_, &str>(0)?, "Ada")?;
    same(row.try_get::<_, &str>(1)?, last_name)?;
    same(row.try_get::<_, Date>(2)?, birth())?;
    same(row.try_get::<_, Decimal>(3)?.to_string().as_str(), "61.500")?;
    same(row.try_get::<_, OffsetDateTime>(4)?, ADMITTED)?;
    same(row.try_get::<_, bool>(5)?, true)?;
    same(row.try_get::<_, i32>(6)?, 3)
}

async fn name_of(client: &Client, id: &str) -> Result<String, Error> {
    let row = client.query_one("SELECT last_name FROM patient WHERE aggregate_id = $1", &[&id]).await?;
    row.try_get(0)
}

async fn run() -> Result<Checks, Box<dyn std::error::Error>> {
    let mut checks = Checks::default();
    let mut client = connect(&config()).await?;
    let mut position = 0i64;
    let mut between = OffsetDateTime::now_utc();

    checks.check("append", async {
        let row = client
            .query_one(CREATED, &[&ID, &"Ada", &"King", &birth(), &weight(), &ADMITTED, &true, &3i32])
            .await?;
        position = row.try_get(1)?;
        row.try_get::<_, Uuid>(2)?;
        same((row.try_get::<_, i64>(0)?, position > 0), (1, true))
    }).await;
    checks.check("append again", async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        between = OffsetDateTime::now_utc();
        tokio::time::sleep(Duration::from_millis(20)).await;
        same(client.execute(UPDATED, &[&ID, &"Lovelace"]).await?, 1)
    }).await;
    checks.check("read state, typed (binary)", async {
        let sql = format!("SELECT {FIELDS} FROM patient WHERE aggregate_id = $1");
        same_state(&client.query_one(&sql, &[&ID]).await?, "Lovelace")
    }).await;
    checks.check("AS OF VERSION $n", async {
        let sql = format!("SELECT {FIELDS} FROM patient AS OF VERSION $1 WHERE aggregate_id = $2");
        same_state(&client.query_one(&sql, &[&1i64, &ID]).await?, "King")
    }).await;
    checks.check("AS OF TIMESTAMP $n", async {
        let sql = "SELECT p.last_name FROM patient AS OF TIMESTAMP $1 p WHERE p.aggregate_id = $2";
        same(client.query_one(sql, &[&between, &ID]).await?.try_get::<_, &str>(0)?, "King")
    }).await;
    checks.check("AS OF POSITION $n", async {
        let sql = "SELECT last_name FROM patient AS OF POSITION $1 WHERE aggregate_id = $2";
        same(client.query_one(sql, &[&position, &ID]).await?.try_get::<_, &str>(0)?, "King")
    }).await;
    checks.check("history and events", async {
        let rows = client
            .query("SELECT version, last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version", &[&ID])
            .await?;
        let names: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
        same(names, vec!["King", "Lovelace"])?;
        let row = client
            .query_one("SELECT payload, event_id FROM patient_events WHERE aggregate_id = $1 AND version = $2", &[&ID, &2i64])
            .await?;
        row.try_get::<_, Uuid>(1)?;
        same(row.try_get::<_, serde_json::Value>(0)?, serde_json::json!({ "last_name": "Lovelace" }))
    }).await;
    checks.check("error: unknown field 42703", async {
        fails(client.execute("INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ($1, $2)", &[&ID, &"x"]).await, "42703")
    }).await;
    checks.check("error: UPDATE 0A000", async {
        fails(client.execute("UPDATE patient SET visits = $1", &[&1i32]).await, "0A000")
    }).await;
    checks.check("error: expected version 40001", async {
        let sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, $2) EXPECT VERSION $3";
        fails(client.execute(sql, &[&ID, &1i32, &9i64]).await, "40001")
    }).await;
    checks.check("goes on after errors", async { same(name_of(&client, ID).await?, "Lovelace".to_owned()) }).await;
    checks.check("describes a dialect statement", async {
        let statement = client.prepare(CREATED).await?;
        let parameters: Vec<&str> = statement.params().iter().map(|kind| kind.name()).collect();
        same(parameters, vec!["text", "text", "text", "date", "numeric", "timestamptz", "bool", "int4"])?;
        let columns: Vec<(&str, &str)> = statement.columns().iter().map(|column| (column.name(), column.type_().name())).collect();
        same(columns, vec![("version", "int8"), ("position", "int8"), ("event_id", "uuid")])
    }).await;
    checks.check("prepared, used again", async {
        let append = client.prepare(UPDATED).await?;
        let back = client.prepare("SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2").await?;
        for version in 1..=8i64 {
            let name = format!("n{version}");
            let row = client.query_one(&append, &[&"tokio-postgres-2", &name]).await?;
            same(row.try_get::<_, i64>(0)?, version)?;
            let row = client.query_one(&back, &[&version, &"tokio-postgres-2"]).await?;
            same(row.try_get::<_, String>(0)?, name)?;
        }
        Ok(())
    }).await;
    checks.check("pipelined appends", async {
        let append = client.prepare(UPDATED).await?;
        let names: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
        let appends = names.iter().map(|name| async { client.query_one(&append, &[&"tokio-postgres-3", name]).await });
        let rows = future::try_join_all(appends).await?;
        let versions: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        same(versions, (1..=50).collect())
    }).await;
    checks.check("transaction: reads its own writes, rolls back", async {
        let transaction = client.transaction().await?;
        transaction.execute(UPDATED, &[&ID, &"Byron"]).await?;
        let row = transaction.query_one("SELECT last_name FROM patient WHERE aggregate_id = $1", &[&ID]).await?;
        same(row.try_get::<_, &str>(0)?, "Byron")?;
        transaction.rollback().await?;
        same(name_of(&client, ID).await?, "Lovelace".to_owned())
    }).await;
    checks.check("transaction: savepoint, commits several aggregates", async {
        let mut transaction = client.transaction().await?;
        transaction.execute(UPDATED, &[&"tokio-postgres-4", &"outer"]).await?;
        let inner = transaction.savepoint("nested").await?;
        inner.execute(UPDATED, &[&"tokio-postgres-4", &"inner"]).await?;
        fails(inner.execute("DELETE FROM patient", &[]).await, "0A000")?;
        fails(inner.query("SELECT 1", &[]).await, "25P02")?;
        inner.rollback().await?;
        transaction.execute(UPDATED, &[&"tokio-postgres-5", &"other"]).await?;
        transaction.commit().await?;
        same(
            (name_of(&client, "tokio-postgres-4").await?, name_of(&client, "tokio-postgres-5").await?),
            ("outer".to_owned(), "other".to_owned()),
        )
    }).await;
    checks.check("transaction: read only refuses appends 25006", async {
        let transaction = client.build_transaction().read_only(true).start().await?;
        fails(transaction.execute(UPDATED, &[&ID, &"x"]).await, "25006")
    }).await;
    checks.check("portal, rows in parts", async {
        let transaction = client.transaction().await?;
        let portal = transaction
            .bind("SELECT version FROM patient_history WHERE aggregate_id = $1 ORDER BY version", &[&"tokio-postgres-3"])
            .await?;
        for part in 0..5i64 {
            let rows = transaction.query_portal(&portal, 10).await?;
            let versions: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            same(versions, (part * 10 + 1..=part * 10 + 10).collect())?;
        }
        same(transaction.query_portal(&portal, 10).await?.len(), 0)?;
        Ok(transaction.commit().await?)
    }).await;
    checks.check("portal over RETURNING", async {
        let transaction = client.transaction().await?;
        let sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, 1), ($1, 2), ($1, 3) RETURNING version";
        let portal = transaction.bind(sql, &[&"tokio-postgres-6"]).await?;
        same(transaction.query_portal(&portal, 2).await?.len(), 2)?;
        same(transaction.query_portal(&portal, 2).await?.len(), 1)?;
        Ok(transaction.commit().await?)
    }).await;
    checks.check("simple query, several statements", async {
        let messages = client
            .simple_query(
                "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('tokio-postgres-7', 5); \
                 SELECT visits FROM patient WHERE aggregate_id = 'tokio-postgres-7'",
            )
            .await?;
        let values: Vec<&str> = messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        same(values, vec!["5"])
    }).await;
    checks.check("streamed rows", async {
        let rows = client
            .query_raw("SELECT generate_series(1, 2000) FROM patient WHERE aggregate_id = $1", [ID])
            .await?;
        same(rows.try_fold(0, |count, _| future::ok(count + 1)).await?, 2000)
    }).await;
    checks.check("COPY EVENTS in, COPY out", async {
        let sink = client.copy_in("COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv)").await?;
        let mut sink = Box::pin(sink);
        for number in 0..1000 {
            sink.send(std::io::Cursor::new(format!("tokio-copy-{number},Name {number}\n"))).await?;
        }
        same(sink.as_mut().finish().await?, 1000)?;
        let out = client.copy_out("COPY (SELECT last_name FROM patient WHERE aggregate_id = 'tokio-copy-77') TO STDOUT").await?;
        let parts: Vec<_> = out.try_collect().await?;
        same(parts.concat(), b"Name 77\n".to_vec())
    }).await;
    checks.check("LISTEN", async {
        let (listener, mut connection) = config().connect(NoTls).await?;
        let (send, mut heard) = futures_channel();
        let messages = stream::poll_fn(move |context| connection.poll_message(context));
        tokio::spawn(messages.for_each(move |message| {
            if let Ok(AsyncMessage::Notification(note)) = message {
                send(note.payload().to_owned());
            }
            future::ready(())
        }));
        listener.batch_execute("LISTEN patient").await?;
        client.execute(UPDATED, &[&"tokio-postgres-8", &"x"]).await?;
        let payload = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await?.ok_or("closed")?;
        let event: serde_json::Value = serde_json::from_str(&payload)?;
        same(event["aggregate_id"].as_str(), Some("tokio-postgres-8"))
    }).await;
    checks.check("cancel 57014", async {
        let token = client.cancel_token();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let _ = token.cancel_query(NoTls).await;
        });
        fails(client.query("SELECT pg_sleep(30)", &[]).await, "57014")
    }).await;
    checks.check("arrays and nulls", async {
        let ids = vec![ID, "tokio-postgres-2"];
        let rows = client.query("SELECT visits FROM patient WHERE aggregate_id = ANY($1) ORDER BY aggregate_id", &[&ids]).await?;
        let visits: Vec<Option<i32>> = rows.iter().map(|row| row.get(0)).collect();
        same(visits, vec![Some(3), None])
    }).await;
    checks.check("options of the startup packet", async {
        let other = connect(config().application_name("clients").options("-c statement_timeout=150")).await?;
        same(other.query_one("SHOW application_name", &[]).await?.try_get::<_, &str>(0)?, "clients")?;
        fails(other.query("SELECT pg_sleep(5)", &[]).await, "57014")
    }).await;
    checks.check("wrong password 28P01", async { fails(connect(config().password("not a token")).await, "28P01") }).await;
    Ok(checks)
}

/// A channel of strings: what is sent, and where it is heard.
fn futures_channel() -> (impl Fn(String), tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (send, heard) = tokio::sync::mpsc::unbounded_channel();
    (move |text| drop(send.send(text)), heard)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run()) {
        Ok(checks) => checks.finish(&format!("tokio-postgres {}", locked("tokio-postgres"))),
        Err(error) => {
            println!("not ok connect: {error}");
            std::process::exit(1);
        }
    }
}
