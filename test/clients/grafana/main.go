// What Grafana's PostgreSQL data source sends, and what it makes of the answers. The data source itself is not a Go module that can be
// fetched; its plugin SDK is, so the frames here are made by Grafana's own code (data, data/sqlutil) over lib/pq, as up to Grafana 11, and every
// query is sent through pgx's simple protocol as well, as Grafana 12 does.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"eventful/clients/checks"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/data/sqlutil"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	_ "github.com/lib/pq"
)

var (
	ctx  = context.Background()
	same = checks.Same
	from = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	to   = time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	pq   *sql.DB
	pgx  *pgconn.PgConn
)

// Numbers of any precision become float64 in Grafana; lib/pq gives NUMERIC as text.
var numbers = sqlutil.ToConverters(sqlutil.StringConverter{
	Name:           "NUMERIC",
	InputScanKind:  reflect.Interface,
	InputTypeName:  "NUMERIC",
	ConversionFunc: func(in *string) (*string, error) { return in, nil },
	Replacer: &sqlutil.StringFieldReplacer{
		OutputFieldType: data.FieldTypeNullableFloat64,
		ReplaceFunc: func(in *string) (any, error) {
			if in == nil {
				return nil, nil
			}
			number, err := strconv.ParseFloat(*in, 64)
			return &number, err
		},
	},
})

// frame runs one query as Grafana 11 does, then as Grafana 12 does, and wants the same number of rows and the same names from both.
func frame(query string) (*data.Frame, []string, error) {
	rows, err := pq.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	made, err := sqlutil.FrameFromRows(rows, 1_000_000, numbers...)
	if err != nil {
		return nil, nil, err
	}
	results, err := pgx.Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	answer := results[len(results)-1]
	types := []string{}
	known := pgtype.NewMap()
	for i, field := range answer.FieldDescriptions {
		if err := same(field.Name, made.Fields[i].Name); err != nil {
			return nil, nil, err
		}
		if kind, ok := known.TypeForOID(field.DataTypeOID); ok {
			types = append(types, kind.Name)
		} else {
			types = append(types, strconv.Itoa(int(field.DataTypeOID)))
		}
	}
	return made, types, same(len(answer.Rows), made.Rows())
}

// column reads the text of one column.
func column(made *data.Frame, index int) []string {
	texts := []string{}
	for row := range made.Rows() {
		if value, ok := made.ConcreteAt(index, row); ok {
			texts = append(texts, fmt.Sprint(value))
		} else {
			texts = append(texts, "null")
		}
	}
	return texts
}

// check fails unless the query gives frames; then body looks at them.
func check(name, query string, body func(made *data.Frame, types []string) error) {
	checks.Check(name, func() error {
		made, types, err := frame(query)
		if err != nil {
			return err
		}
		return body(made, types)
	})
}

// macros writes out the macros of the query editor as the data source does.
func macros(query string) string {
	between := fmt.Sprintf("BETWEEN '%s' AND '%s'", from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano))
	return strings.NewReplacer(
		"$__timeFilter(admitted_at)", "admitted_at "+between,
		"$__timeFilter(recorded_at)", "recorded_at BETWEEN now() - interval '1 day' AND now() + interval '1 day'",
		"$__timeGroupAlias(admitted_at,'30d')", `floor(extract(epoch from admitted_at)/2592000)*2592000 AS "time"`,
		"$__timeGroupAlias(recorded_at,'1h')", `floor(extract(epoch from recorded_at)/3600)*3600 AS "time"`,
		"$__timeEpoch(admitted_at)", `extract(epoch from admitted_at) as "time"`,
		"$__time(admitted_at)", `admitted_at AS "time"`,
		"$__timeFrom()", "'"+from.Format(time.RFC3339Nano)+"'",
		"$__timeTo()", "'"+to.Format(time.RFC3339Nano)+"'",
		"$__unixEpochFilter(visits)", fmt.Sprintf("visits >= %d AND visits <= %d", 1, 12),
		"$__unixEpochGroupAlias(visits,'6s')", `floor((visits)/6)*6 AS "time"`,
	).Replace(query)
}

func seed() error {
	const created = `INSERT INTO patient EVENTS patient_created
		(aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)
		VALUES ($1, 'Ada', 'King', '1815-12-10', $2, $3, $4, $5)`
	for month := 1; month <= 12; month++ {
		id, at := fmt.Sprintf("grafana-%02d", month), time.Date(2026, time.Month(month), 2, 3, 4, 5, 678901000, time.UTC)
		if _, err := pq.Exec(created, id, fmt.Sprintf("%d.500", 60+month), at, month%3 == 0, month); err != nil {
			return err
		}
	}
	if _, err := pq.Exec(`INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('grafana-01', 'Lovelace')`); err != nil {
		return err
	}
	// Grafana connects with a token that only reads; both drivers take it from here.
	var token, id string
	var expires any
	if err := pq.QueryRow(`CALL token_generate('service', 'grafana', 'read:*:*')`).Scan(&token, &id, &expires); err != nil {
		return err
	}
	if err := os.Setenv("PGPASSWORD", token); err != nil {
		return err
	}
	return connect()
}

const mine = " aggregate_id LIKE 'grafana-%' "

// The pickers of the query editor and of the configuration page (postgresMetaQuery.ts of grafana-postgresql-datasource).
func catalogue() {
	check("configuration page: the version", `SELECT current_setting('server_version_num')::int/100 as version`,
		func(made *data.Frame, _ []string) error { return same(column(made, 0)[0], "1600") })
	check("configuration page: no TimescaleDB", `SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'`,
		func(made *data.Frame, _ []string) error { return same(made.Rows(), 0) })
	check("health check", `SELECT 1`, func(made *data.Frame, _ []string) error { return same(made.Rows(), 1) })
	check("schemas", `SELECT schema_name AS "name" FROM information_schema.schemata
		WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast', '_timescaledb_cache', '_timescaledb_catalog',
		'_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental') ORDER BY schema_name`,
		func(made *data.Frame, _ []string) error { return nil })
	check("tables, those of the search path without their schema", `SELECT CASE WHEN `+visible+` THEN quote_ident(table_name)
		ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table" FROM information_schema.tables
		WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', '_timescaledb_catalog',
		'_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental')
		ORDER BY CASE WHEN `+visible+` THEN 0 ELSE 1 END, 1`,
		func(made *data.Frame, _ []string) error {
			names := column(made, 0)
			if err := same(names[:3], []string{"patient", "patient_events", "patient_history"}); err != nil {
				return err
			}
			return same(strings.Contains(strings.Join(names, " "), "eventful.events"), true)
		})
	check("tables of one schema", `SELECT quote_ident(table_name) AS "table" FROM information_schema.tables
		WHERE quote_ident(table_schema) = 'public' ORDER BY 1`,
		func(made *data.Frame, _ []string) error {
			return same(column(made, 0), []string{"patient", "patient_events", "patient_history"})
		})
	for table, columns := range map[string]string{
		"patient": "aggregate_id text, version bigint, created_at timestamp with time zone, updated_at timestamp with time zone," +
			" archived boolean, first_name text, last_name text, birthdate date, weight numeric," +
			" admitted_at timestamp with time zone, smoker boolean, visits integer",
		"eventful.checkpoints": "",
	} {
		check("columns of "+table, `SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
			WHERE CASE WHEN array_length(parse_ident('`+table+`'),1) = 2
			THEN quote_ident(table_schema) = (parse_ident('`+table+`'))[1] AND quote_ident(table_name) = (parse_ident('`+table+`'))[2]
			ELSE quote_ident(table_name) = '`+table+`' AND `+visible+` END`,
			func(made *data.Frame, _ []string) error {
				texts := []string{}
				for row, name := range column(made, 0) {
					texts = append(texts, name+" "+column(made, 1)[row])
				}
				if columns == "" {
					return same(len(texts) > 3, true)
				}
				return same(strings.Join(texts, ", "), columns)
			})
	}
}

const visible = `quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
	FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1),
	array_upper(string_to_array(current_setting('search_path'),','),1)) as i, string_to_array(current_setting('search_path'),',') s)`

func kinds(made *data.Frame) []string {
	texts := []string{}
	for _, field := range made.Fields {
		texts = append(texts, field.Type().ItemTypeString())
	}
	return texts
}

func panels() {
	check("table panel: time, number, boolean, text arrive typed",
		`SELECT admitted_at, updated_at, birthdate, weight, visits, version, smoker, last_name FROM patient WHERE`+mine+`ORDER BY visits`,
		func(made *data.Frame, types []string) error {
			if err := same(types, []string{"timestamptz", "timestamptz", "date", "numeric", "int4", "int8", "bool", "text"}); err != nil {
				return err
			}
			if err := same(kinds(made), []string{"*time.Time", "*time.Time", "*time.Time", "*float64", "*int32", "*int64", "*bool", "*string"}); err != nil {
				return err
			}
			at, _ := made.ConcreteAt(0, 1)
			return same(at.(time.Time).UTC(), time.Date(2026, 2, 2, 3, 4, 5, 678901000, time.UTC))
		})
	check("time series panel: $__time, $__timeFilter",
		macros(`SELECT $__time(admitted_at), weight FROM patient WHERE $__timeFilter(admitted_at) AND`+mine+`ORDER BY 1`),
		func(made *data.Frame, _ []string) error {
			schema := made.TimeSeriesSchema()
			return errors.Join(same(schema.Type, data.TimeSeriesTypeWide), same(made.Rows(), 12))
		})
	check("time series panel by a metric: $__timeGroupAlias, long to wide",
		macros(`SELECT $__timeGroupAlias(admitted_at,'30d'), CASE WHEN smoker THEN 'smokers' ELSE 'others' END AS metric,
			avg(weight) AS mean FROM patient WHERE $__timeFilter(admitted_at) AND`+mine+`GROUP BY 1, 2 ORDER BY 1, 2`),
		func(made *data.Frame, types []string) error {
			if err := same(types, []string{"numeric", "text", "numeric"}); err != nil {
				return err
			}
			// Grafana turns a number in a column called time into a time: seconds since 1970.
			times := data.NewField("time", nil, []time.Time{})
			for row := range made.Rows() {
				seconds, _ := made.ConcreteAt(0, row)
				times.Append(time.Unix(int64(seconds.(float64)), 0).UTC())
			}
			made.Fields[0] = times
			if err := same(made.TimeSeriesSchema().Type, data.TimeSeriesTypeLong); err != nil {
				return err
			}
			wide, err := data.LongToWide(made, nil)
			if err != nil {
				return err
			}
			names := []string{}
			for _, field := range wide.Fields[1:] {
				names = append(names, field.Labels["metric"])
			}
			return same(names, []string{"others", "smokers"})
		})
	check("$__timeEpoch, $__timeFrom, $__timeTo",
		macros(`SELECT $__timeEpoch(admitted_at), visits FROM patient WHERE admitted_at >= $__timeFrom() AND admitted_at < $__timeTo() AND`+mine+`ORDER BY 1`),
		func(made *data.Frame, types []string) error {
			return errors.Join(same(types, []string{"numeric", "int4"}), same(made.Rows(), 12))
		})
	check("$__unixEpochFilter, $__unixEpochGroupAlias",
		macros(`SELECT $__unixEpochGroupAlias(visits,'6s'), count(*) AS n FROM patient WHERE $__unixEpochFilter(visits) AND`+mine+`GROUP BY 1 ORDER BY 1`),
		func(made *data.Frame, _ []string) error { return same(column(made, 1), []string{"5", "6", "1"}) })
	check("events per hour, of the log itself",
		macros(`SELECT $__timeGroupAlias(recorded_at,'1h'), count(*) AS events FROM patient_events
			WHERE $__timeFilter(recorded_at) AND`+mine+`GROUP BY 1 ORDER BY 1`),
		func(made *data.Frame, types []string) error {
			total := 0
			for _, n := range column(made, 1) {
				count, _ := strconv.Atoi(n)
				total += count
			}
			return errors.Join(same(types, []string{"numeric", "int8"}), same(total, 13))
		})
	check("stat panel of a past state", `SELECT count(*) AS n, avg(weight) AS mean FROM patient AS OF VERSION 1 WHERE`+mine,
		func(made *data.Frame, _ []string) error { return same(kinds(made), []string{"*int64", "*float64"}) })
	check("annotations: time, timeEnd, text", `SELECT valid_from AS time, valid_to AS timeend, event_type AS text, last_name AS tags
		FROM patient_history WHERE aggregate_id = 'grafana-01' ORDER BY version`,
		func(made *data.Frame, _ []string) error {
			return errors.Join(same(kinds(made)[:3], []string{"*time.Time", "*time.Time", "*string"}), same(column(made, 3), []string{"King", "Lovelace"}))
		})
	check("template variable: distinct values", `SELECT DISTINCT last_name FROM patient WHERE`+mine+`ORDER BY 1`,
		func(made *data.Frame, _ []string) error { return same(column(made, 0), []string{"King", "Lovelace"}) })
	check("template variable with a value: __text, __value", `SELECT last_name AS __text, aggregate_id AS __value FROM patient WHERE`+mine+`ORDER BY 2 LIMIT 2`,
		func(made *data.Frame, _ []string) error { return same(made.Rows(), 2) })
	check("a query of the builder, with Grafana's quotes and LIMIT", `SELECT COUNT(visits) AS "n", smoker FROM patient WHERE (`+mine+` AND smoker = TRUE) GROUP BY smoker LIMIT 50 `,
		func(made *data.Frame, _ []string) error { return same(column(made, 0), []string{"4"}) })
}

func refusals() {
	for name, query := range map[string]string{"42703": "SELECT nope FROM patient", "0A000": "DELETE FROM patient"} {
		checks.Check("an error is one: "+name, func() error {
			_, err := pgx.Exec(ctx, query).ReadAll()
			var failure *pgconn.PgError
			if !errors.As(err, &failure) {
				return fmt.Errorf("expected %s, got %v", name, err)
			}
			return same(failure.Code, name)
		})
	}
	checks.Check("goes on after errors", func() error {
		results, err := pgx.Exec(ctx, "SELECT 1").ReadAll()
		if err != nil {
			return err
		}
		return same(len(results), 1)
	})
}

func connect() (err error) {
	if pq, err = sql.Open("postgres", ""); err != nil {
		return err
	}
	pgx, err = pgconn.Connect(ctx, "")
	return err
}

func main() {
	if err := connect(); err != nil {
		panic(err)
	}
	checks.Check("append what the panels show", seed)
	catalogue()
	panels()
	refusals()
	version := "?"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/grafana/grafana-plugin-sdk-go" {
				version = module.Version
			}
		}
	}
	checks.Finish("grafana-plugin-sdk-go " + version)
}
