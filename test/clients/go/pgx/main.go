// pgx v5: binary from the first query, prepared and cached statements, batches, COPY, LISTEN, every exec mode.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"eventful/clients/checks"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const (
	id      = "pgx-1"
	created = `INSERT INTO patient EVENTS patient_created
		(aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING version, position, event_id`
	updated = `INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2)
		RETURNING version, position, event_id`
)

var (
	ctx      = context.Background()
	admitted = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	birth    = time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)
	weight   = pgtype.Numeric{Int: big.NewInt(61500), Exp: -3, Valid: true}
	check    = checks.Check
	same     = checks.Same
)

func fails(state string, err error) error {
	var failure *pgconn.PgError
	if !errors.As(err, &failure) {
		return fmt.Errorf("expected %s, got %v", state, err)
	}
	return same(failure.Code, state)
}

func versionOf(rows pgx.Row) (version int64, err error) {
	var position *int64 // null before the commit, as in a batch
	var event [16]byte
	err = rows.Scan(&version, &position, &event)
	return version, err
}

func text(db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, want string, sql string, args ...any) error {
	var got string
	if err := db.QueryRow(ctx, sql, args...).Scan(&got); err != nil {
		return err
	}
	return same(got, want)
}

func sameState(row pgx.Row, lastName string) error {
	var first, last string
	var born, in time.Time
	var kilos pgtype.Numeric
	var smoker bool
	var visits int32
	if err := row.Scan(&first, &last, &born, &kilos, &in, &smoker, &visits); err != nil {
		return err
	}
	number, err := kilos.Value()
	if err != nil {
		return err
	}
	return same(
		[]any{first, last, born, number, in.UTC(), smoker, visits},
		[]any{"Ada", lastName, birth, "61.500", admitted, true, int32(3)},
	)
}

func main() {
	db, err := pgx.Connect(ctx, "")
	if err != nil {
		fmt.Printf("not ok connect: %s\n", err)
		panic(err)
	}
	var position int64
	var between time.Time
	const fields = "first_name, last_name, birthdate, weight, admitted_at, smoker, visits"

	check("append", func() error {
		var version int64
		var event pgtype.UUID
		row := db.QueryRow(ctx, created, id, "Ada", "King", birth, weight, admitted, true, 3)
		if err := row.Scan(&version, &position, &event); err != nil {
			return err
		}
		return same([]any{version, position > 0, event.Valid}, []any{int64(1), true, true})
	})
	check("append again", func() error {
		time.Sleep(20 * time.Millisecond)
		between = time.Now()
		time.Sleep(20 * time.Millisecond)
		tag, err := db.Exec(ctx, updated, id, "Lovelace")
		if err != nil {
			return err
		}
		return same(tag.String(), "INSERT 0 1")
	})
	check("read state, typed (binary)", func() error {
		return sameState(db.QueryRow(ctx, "SELECT "+fields+" FROM patient WHERE aggregate_id = $1", id), "Lovelace")
	})
	check("AS OF VERSION $n", func() error {
		sql := "SELECT " + fields + " FROM patient AS OF VERSION $1 WHERE aggregate_id = $2"
		return sameState(db.QueryRow(ctx, sql, 1, id), "King")
	})
	check("AS OF TIMESTAMP $n", func() error {
		return text(db, "King", "SELECT p.last_name FROM patient AS OF TIMESTAMP $1 p WHERE p.aggregate_id = $2", between, id)
	})
	check("AS OF POSITION $n", func() error {
		return text(db, "King", "SELECT last_name FROM patient AS OF POSITION $1 WHERE aggregate_id = $2", position, id)
	})
	check("history and events", func() error {
		rows, err := db.Query(ctx, "SELECT last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version", id)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		var payload map[string]string
		sql := "SELECT payload FROM patient_events WHERE aggregate_id = $1 AND version = $2"
		if err := db.QueryRow(ctx, sql, id, 2).Scan(&payload); err != nil {
			return err
		}
		return same([]any{names, payload}, []any{[]string{"King", "Lovelace"}, map[string]string{"last_name": "Lovelace"}})
	})
	check("error: unknown field 42703", func() error {
		_, err := db.Exec(ctx, "INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ($1, $2)", id, "x")
		return fails("42703", err)
	})
	check("error: UPDATE 0A000", func() error {
		_, err := db.Exec(ctx, "UPDATE patient SET visits = $1", 1)
		return fails("0A000", err)
	})
	check("error: expected version 40001", func() error {
		sql := "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, $2) EXPECT VERSION $3"
		_, err := db.Exec(ctx, sql, id, 1, 9)
		return fails("40001", err)
	})
	check("goes on after errors", func() error {
		return text(db, "Lovelace", "SELECT last_name FROM patient WHERE aggregate_id = $1", id)
	})
	check("transaction: reads its own writes, rolls back", func() error {
		sql := "SELECT last_name FROM patient WHERE aggregate_id = $1"
		tx, err := db.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updated, id, "Byron"); err != nil {
			return err
		}
		if err := text(tx, "Byron", sql, id); err != nil {
			return err
		}
		if err := tx.Rollback(ctx); err != nil {
			return err
		}
		return text(db, "Lovelace", sql, id)
	})
	check("transaction: nested, commits several aggregates", func() error {
		err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, updated, "pgx-2", "outer"); err != nil {
				return err
			}
			inner, err := tx.Begin(ctx)
			if err != nil {
				return err
			}
			if _, err := inner.Exec(ctx, updated, "pgx-2", "inner"); err != nil {
				return err
			}
			if _, err := inner.Exec(ctx, "DELETE FROM patient"); err == nil {
				return errors.New("deleted")
			}
			if err := inner.Rollback(ctx); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, updated, "pgx-3", "other")
			return err
		})
		if err != nil {
			return err
		}
		return text(db, "outer,other", "SELECT string_agg(last_name, ',' ORDER BY aggregate_id) FROM patient WHERE aggregate_id = ANY($1)",
			[]string{"pgx-2", "pgx-3"})
	})
	check("transaction: read only refuses appends 25006", func() error {
		tx, err := db.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		_, err = tx.Exec(ctx, updated, id, "x")
		return fails("25006", err)
	})
	check("describes a dialect statement", func() error {
		statement, err := db.Prepare(ctx, "described", created)
		if err != nil {
			return err
		}
		columns := []string{}
		for _, column := range statement.Fields {
			columns = append(columns, column.Name)
		}
		return same([]any{statement.ParamOIDs, columns}, []any{
			[]uint32{25, 25, 25, 1082, 1700, 1184, 16, 23}, []string{"version", "position", "event_id"},
		})
	})
	check("batch", func() error {
		batch := &pgx.Batch{}
		for number := 1; number <= 50; number++ {
			batch.Queue(updated, "pgx-4", fmt.Sprint("n", number))
			batch.Queue("SELECT last_name FROM patient WHERE aggregate_id = $1", "pgx-4")
		}
		results := db.SendBatch(ctx, batch)
		defer results.Close()
		for number := 1; number <= 50; number++ {
			version, err := versionOf(results.QueryRow())
			if err != nil {
				return err
			}
			if err := same(version, int64(number)); err != nil {
				return err
			}
			var name string
			if err := results.QueryRow().Scan(&name); err != nil {
				return err
			}
			if err := same(name, fmt.Sprint("n", number)); err != nil {
				return err
			}
		}
		return results.Close()
	})
	check("batch of look-backs", func() error {
		batch := &pgx.Batch{}
		for version := 1; version <= 50; version++ {
			batch.Queue("SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2", version, "pgx-4")
		}
		results := db.SendBatch(ctx, batch)
		defer results.Close()
		for version := 1; version <= 50; version++ {
			var name string
			if err := results.QueryRow().Scan(&name); err != nil {
				return err
			}
			if err := same(name, fmt.Sprint("n", version)); err != nil {
				return err
			}
		}
		return results.Close()
	})
	check("batch with an error keeps nothing, goes on", func() error {
		batch := &pgx.Batch{}
		batch.Queue(updated, "pgx-5", "one")
		batch.Queue("INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, $2) EXPECT VERSION 7", "pgx-5", 1)
		if err := fails("40001", db.SendBatch(ctx, batch).Close()); err != nil {
			return err
		}
		return text(db, "0", "SELECT count(*)::text FROM patient WHERE aggregate_id = 'pgx-5'")
	})
	modes := map[string]pgx.QueryExecMode{
		"cache statement": pgx.QueryExecModeCacheStatement,
		"cache describe":  pgx.QueryExecModeCacheDescribe,
		"describe exec":   pgx.QueryExecModeDescribeExec,
		"exec":            pgx.QueryExecModeExec,
		"simple protocol": pgx.QueryExecModeSimpleProtocol,
	}
	for _, name := range []string{"cache statement", "cache describe", "describe exec", "exec", "simple protocol"} {
		check("exec mode: "+name, func() error {
			key := "pgx-mode-" + strings.ReplaceAll(name, " ", "-")
			for number := 1; number <= 3; number++ {
				last := fmt.Sprint("n", number)
				version, err := versionOf(db.QueryRow(ctx, updated, modes[name], key, last))
				if err != nil {
					return err
				}
				if err := same(version, int64(number)); err != nil {
					return err
				}
				sql := "SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2"
				if err := text(db, last, sql, modes[name], number, key); err != nil {
					return err
				}
			}
			args := []any{modes[name], key, "Ada", "King", birth, weight, admitted, true, 3}
			if _, err := db.Exec(ctx, created, args...); err != nil {
				return err
			}
			return sameState(db.QueryRow(ctx, "SELECT "+fields+" FROM patient WHERE aggregate_id = $1", modes[name], key), "King")
		})
	}
	check("COPY EVENTS in, COPY out", func() error {
		var data strings.Builder
		for number := range 1000 {
			fmt.Fprintf(&data, "pgx-copy-%d,Name %d\n", number, number)
		}
		sql := "COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv)"
		tag, err := db.PgConn().CopyFrom(ctx, strings.NewReader(data.String()), sql)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		_, err = db.PgConn().CopyTo(ctx, &out, "COPY (SELECT last_name FROM patient WHERE aggregate_id = 'pgx-copy-77') TO STDOUT")
		if err != nil {
			return err
		}
		return same([]any{tag.RowsAffected(), out.String()}, []any{int64(1000), "Name 77\n"})
	})
	check("COPY into state: refused 0A000, goes on", func() error {
		_, err := db.CopyFrom(ctx, pgx.Identifier{"patient"}, []string{"aggregate_id"}, pgx.CopyFromRows([][]any{{"x"}}))
		if err := fails("0A000", err); err != nil {
			return err
		}
		return text(db, "1", "SELECT '1'::text")
	})
	check("LISTEN", func() error {
		listener, err := pgx.Connect(ctx, "")
		if err != nil {
			return err
		}
		defer listener.Close(ctx)
		if _, err := listener.Exec(ctx, "LISTEN patient"); err != nil {
			return err
		}
		if _, err := db.Exec(ctx, updated, "pgx-6", "x"); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		note, err := listener.WaitForNotification(wait)
		if err != nil {
			return err
		}
		return same([]any{note.Channel, strings.Contains(note.Payload, `"pgx-6"`)}, []any{"patient", true})
	})
	check("cancel 57014", func() error {
		other, err := pgx.Connect(ctx, "")
		if err != nil {
			return err
		}
		defer other.Close(ctx)
		time.AfterFunc(200*time.Millisecond, func() { _ = other.PgConn().CancelRequest(ctx) })
		_, err = other.Exec(ctx, "SELECT pg_sleep(30)")
		return fails("57014", err)
	})
	check("run-time parameters, Ping", func() error {
		other, err := pgx.Connect(ctx, "application_name=clients search_path=public statement_timeout=150")
		if err != nil {
			return err
		}
		defer other.Close(ctx)
		if err := other.Ping(ctx); err != nil {
			return err
		}
		if err := text(other, "clients", "SHOW application_name"); err != nil {
			return err
		}
		_, err = other.Exec(ctx, "SELECT pg_sleep(5)")
		return fails("57014", err)
	})
	check("concurrent appends to one aggregate", func() error {
		var group sync.WaitGroup
		errs := make(chan error, 8)
		for range 8 {
			group.Add(1)
			go func() {
				defer group.Done()
				other, err := pgx.Connect(ctx, "")
				if err != nil {
					errs <- err
					return
				}
				defer other.Close(ctx)
				for number := range 25 {
					if _, err := other.Exec(ctx, updated, "pgx-7", fmt.Sprint(number)); err != nil {
						errs <- err
						return
					}
				}
			}()
		}
		group.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return text(db, "200", "SELECT version::text FROM patient WHERE aggregate_id = 'pgx-7'")
		}
	})
	check("row types loaded from the catalogue", func() error {
		kind, err := db.LoadType(ctx, "patient")
		if err != nil {
			return err
		}
		db.TypeMap().RegisterType(kind)
		values, err := pgx.CollectOneRow(must(db.Query(ctx, "SELECT p FROM patient p WHERE aggregate_id = $1", id)), pgx.RowToMap)
		if err != nil {
			return err
		}
		fields, ok := values["p"].(map[string]any)
		if !ok {
			return fmt.Errorf("got %T", values["p"])
		}
		return same([]any{fields["aggregate_id"], fields["smoker"], fields["visits"]}, []any{id, true, int32(3)})
	})
	check("wrong password 28P01", func() error {
		config, err := pgx.ParseConfig("")
		if err != nil {
			return err
		}
		config.Password = "not a token"
		_, err = pgx.ConnectConfig(ctx, config)
		return fails("28P01", err)
	})
	_ = db.Close(ctx)
	checks.Finish("pgx " + version("github.com/jackc/pgx/v5"))
}

func must(rows pgx.Rows, err error) pgx.Rows {
	if err != nil {
		panic(err)
	}
	return rows
}

func version(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version + ", " + info.GoVersion
			}
		}
	}
	return "?"
}
