// lib/pq through database/sql: prepared statements, a pool, transactions, COPY, LISTEN, contexts.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"eventful/clients/checks"

	"github.com/lib/pq"
)

const (
	id      = "libpq-1"
	created = `INSERT INTO patient EVENTS patient_created
		(aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING version, position, event_id`
	updated = `INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ($1, $2)
		RETURNING version, position, event_id`
	fields = "first_name, last_name, birthdate, weight, admitted_at, smoker, visits"
)

var (
	ctx      = context.Background()
	admitted = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	birth    = time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)
	check    = checks.Check
	same     = checks.Same
)

type querier interface {
	QueryRow(string, ...any) *sql.Row
}

func fails(state string, err error) error {
	var failure *pq.Error
	if !errors.As(err, &failure) {
		return fmt.Errorf("expected %s, got %v", state, err)
	}
	return same(string(failure.Code), state)
}

func text(db querier, want, query string, args ...any) error {
	var got string
	if err := db.QueryRow(query, args...).Scan(&got); err != nil {
		return err
	}
	return same(got, want)
}

func sameState(row *sql.Row, lastName string) error {
	var first, last, kilos string
	var born, in time.Time
	var smoker bool
	var visits int
	if err := row.Scan(&first, &last, &born, &kilos, &in, &smoker, &visits); err != nil {
		return err
	}
	return same(
		[]any{first, last, born.Format(time.DateOnly), kilos, in.UTC(), smoker, visits},
		[]any{"Ada", lastName, "1815-12-10", "61.500", admitted, true, 3},
	)
}

func main() {
	db, err := sql.Open("postgres", "")
	if err != nil {
		panic(err)
	}
	var position int64
	var between time.Time

	check("append", func() error {
		var version int64
		var event string
		row := db.QueryRow(created, id, "Ada", "King", birth, "61.500", admitted, true, 3)
		if err := row.Scan(&version, &position, &event); err != nil {
			return err
		}
		return same([]any{version, position > 0, len(event)}, []any{int64(1), true, 36})
	})
	check("append again", func() error {
		time.Sleep(20 * time.Millisecond)
		between = time.Now()
		time.Sleep(20 * time.Millisecond)
		result, err := db.Exec(updated, id, "Lovelace")
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil {
			return err
		}
		return same(rows, int64(1))
	})
	check("read state, typed", func() error {
		return sameState(db.QueryRow("SELECT "+fields+" FROM patient WHERE aggregate_id = $1", id), "Lovelace")
	})
	check("AS OF VERSION $n", func() error {
		return sameState(db.QueryRow("SELECT "+fields+" FROM patient AS OF VERSION $1 WHERE aggregate_id = $2", 1, id), "King")
	})
	check("AS OF TIMESTAMP $n", func() error {
		return text(db, "King", "SELECT p.last_name FROM patient AS OF TIMESTAMP $1 p WHERE p.aggregate_id = $2", between, id)
	})
	check("AS OF POSITION $n", func() error {
		return text(db, "King", "SELECT last_name FROM patient AS OF POSITION $1 WHERE aggregate_id = $2", position, id)
	})
	check("history and events", func() error {
		rows, err := db.Query("SELECT last_name FROM patient_history WHERE aggregate_id = $1 ORDER BY version", id)
		if err != nil {
			return err
		}
		defer rows.Close()
		names := []string{}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		var payload []byte
		if err := db.QueryRow("SELECT payload FROM patient_events WHERE aggregate_id = $1 AND version = 2", id).Scan(&payload); err != nil {
			return err
		}
		return same([]any{names, string(payload)}, []any{[]string{"King", "Lovelace"}, `{"last_name": "Lovelace"}`})
	})
	check("error: unknown field 42703", func() error {
		_, err := db.Exec("INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES ($1, $2)", id, "x")
		return fails("42703", err)
	})
	check("error: UPDATE 0A000", func() error {
		_, err := db.Exec("UPDATE patient SET visits = $1", 1)
		return fails("0A000", err)
	})
	check("error: expected version 40001", func() error {
		_, err := db.Exec("INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ($1, $2) EXPECT VERSION $3", id, 1, 9)
		return fails("40001", err)
	})
	check("goes on after errors", func() error {
		return text(db, "Lovelace", "SELECT last_name FROM patient WHERE aggregate_id = $1", id)
	})
	check("transaction: reads its own writes, rolls back", func() error {
		query := "SELECT last_name FROM patient WHERE aggregate_id = $1"
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		if _, err := tx.Exec(updated, id, "Byron"); err != nil {
			return err
		}
		if err := text(tx, "Byron", query, id); err != nil {
			return err
		}
		if err := tx.Rollback(); err != nil {
			return err
		}
		return text(db, "Lovelace", query, id)
	})
	check("transaction: commits several aggregates with a prepared statement", func() error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		statement, err := tx.Prepare(updated)
		if err != nil {
			return err
		}
		for number := range 20 {
			if _, err := statement.Exec(fmt.Sprint("libpq-many-", number), "x"); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		return text(db, "20", "SELECT count(*) FROM patient WHERE aggregate_id LIKE 'libpq-many-%'")
	})
	check("transaction: failed, then rolled back", func() error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		_, err = tx.Exec("DELETE FROM patient")
		if err := fails("0A000", err); err != nil {
			return err
		}
		_, err = tx.Exec("SELECT 1")
		if err := fails("25P02", err); err != nil {
			return err
		}
		if err := tx.Commit(); err == nil {
			return errors.New("a failed transaction committed")
		}
		return text(db, "1", "SELECT 1")
	})
	check("transaction: read only refuses appends 25006", func() error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelSerializable})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		_, err = tx.Exec(updated, id, "x")
		return fails("25006", err)
	})
	check("prepared statement, used again", func() error {
		statement, err := db.Prepare(updated)
		if err != nil {
			return err
		}
		defer statement.Close()
		back, err := db.Prepare("SELECT last_name FROM patient AS OF VERSION $1 WHERE aggregate_id = $2")
		if err != nil {
			return err
		}
		defer back.Close()
		for number := int64(1); number <= 8; number++ {
			var version, position int64
			var event, name string
			last := fmt.Sprint("n", number)
			if err := statement.QueryRow("libpq-2", last).Scan(&version, &position, &event); err != nil {
				return err
			}
			if err := back.QueryRow(number, "libpq-2").Scan(&name); err != nil {
				return err
			}
			if err := same([]any{version, name}, []any{number, last}); err != nil {
				return err
			}
		}
		return nil
	})
	check("column types", func() error {
		rows, err := db.Query("SELECT * FROM patient AS OF VERSION 1 WHERE aggregate_id = $1", id)
		if err != nil {
			return err
		}
		defer rows.Close()
		types, err := rows.ColumnTypes()
		if err != nil {
			return err
		}
		names := []string{}
		for _, column := range types[7:] {
			names = append(names, column.DatabaseTypeName())
		}
		return same(names, []string{"DATE", "NUMERIC", "TIMESTAMPTZ", "BOOL", "INT4"})
	})
	check("binary parameters", func() error {
		other, err := sql.Open("postgres", "binary_parameters=yes")
		if err != nil {
			return err
		}
		defer other.Close()
		if _, err := other.Exec(created, "libpq-3", "Ada", "King", birth, "61.500", admitted, true, 3); err != nil {
			return err
		}
		return sameState(other.QueryRow("SELECT "+fields+" FROM patient AS OF VERSION $1 WHERE aggregate_id = $2", 1, "libpq-3"), "King")
	})
	check("several statements in one", func() error {
		_, err := db.Exec(`INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('libpq-4', 1);
			INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('libpq-4', 2)`)
		if err != nil {
			return err
		}
		rows, err := db.Query("SELECT 1; SELECT visits FROM patient WHERE aggregate_id = 'libpq-4'")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		if !rows.NextResultSet() || !rows.Next() {
			return errors.New("no second result")
		}
		var visits int
		if err := rows.Scan(&visits); err != nil {
			return err
		}
		return same(visits, 2)
	})
	check("COPY into state: refused 0A000, goes on", func() error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		_, err = tx.Prepare(pq.CopyIn("patient", "aggregate_id", "visits"))
		if err := fails("0A000", err); err != nil {
			return err
		}
		if err := tx.Rollback(); err != nil {
			return err
		}
		return text(db, "1", "SELECT 1")
	})
	check("COPY EVENTS in", func() error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		statement, err := tx.Prepare("COPY patient EVENTS patient_updated (aggregate_id, visits) FROM STDIN")
		if err != nil {
			return err
		}
		for number := range 1000 {
			if _, err := statement.Exec(fmt.Sprint("libpq-copy-", number), number); err != nil {
				return err
			}
		}
		if _, err := statement.Exec(); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		return text(db, "1000", "SELECT count(*) FROM patient WHERE aggregate_id LIKE 'libpq-copy-%'")
	})
	check("LISTEN", func() error {
		listener := pq.NewListener("", time.Second, time.Minute, nil)
		defer listener.Close()
		if err := listener.Listen("patient"); err != nil {
			return err
		}
		if _, err := db.Exec(updated, "libpq-5", "x"); err != nil {
			return err
		}
		select {
		case note := <-listener.Notify:
			var event struct {
				ID string `json:"aggregate_id"`
			}
			if err := json.Unmarshal([]byte(note.Extra), &event); err != nil {
				return err
			}
			return same(event.ID, "libpq-5")
		case <-time.After(5 * time.Second):
			return errors.New("heard nothing")
		}
	})
	check("context timeout cancels 57014", func() error {
		hurry, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := db.ExecContext(hurry, "SELECT pg_sleep(30)")
		if err == nil || time.Since(began) > 5*time.Second {
			return fmt.Errorf("not cancelled: %v", err)
		}
		return text(db, "1", "SELECT 1")
	})
	check("arrays, nulls", func() error {
		var visits sql.NullInt64
		query := "SELECT visits FROM patient WHERE aggregate_id = ANY($1)"
		if err := db.QueryRow(query, pq.Array([]string{"libpq-2"})).Scan(&visits); err != nil {
			return err
		}
		return same(visits.Valid, false)
	})
	check("concurrent appends to one aggregate, a pool", func() error {
		db.SetMaxOpenConns(8)
		var group sync.WaitGroup
		errs := make(chan error, 200)
		for number := range 200 {
			group.Add(1)
			go func() {
				defer group.Done()
				if _, err := db.Exec(updated, "libpq-6", fmt.Sprint(number)); err != nil {
					errs <- err
				}
			}()
		}
		group.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return text(db, "200", "SELECT version FROM patient WHERE aggregate_id = 'libpq-6'")
		}
	})
	check("wrong password 28P01", func() error {
		other, err := sql.Open("postgres", "password=wrong")
		if err != nil {
			return err
		}
		defer other.Close()
		return fails("28P01", other.Ping())
	})
	_ = db.Close()
	checks.Finish("lib/pq " + version("github.com/lib/pq"))
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
