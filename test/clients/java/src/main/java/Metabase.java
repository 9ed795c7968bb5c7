import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.util.PGobject;

/**
 * What Metabase sends, through the driver that Metabase uses and with the connection set as Metabase sets it: the sync of a
 * database, fingerprints and values of fields, questions. The statements are those that its PostgreSQL driver builds
 * (metabase/driver/postgres.clj, sql_jdbc/sync, sql_jdbc/execute.clj); Metabase itself is not installed.
 */
public final class Metabase extends Checks {
  private static final OffsetDateTime ADMITTED = OffsetDateTime.of(2026, 1, 2, 3, 4, 5, 678_901_000, ZoneOffset.UTC);
  private static Connection connection;
  private static String token;

  /** A question: read only, rows in portions, typed by what its result says. */
  private static List<List<Object>> ask(String sql, Object... values) throws SQLException {
    String remarked = "-- Metabase:: userID: 1 queryType: MBQL queryHash: 6c2f36bf41a1e8f0c4b7b8e8a1d7a5a6\n" + sql;
    try (PreparedStatement statement =
        connection.prepareStatement(remarked, ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY, ResultSet.CLOSE_CURSORS_AT_COMMIT)) {
      statement.setFetchDirection(ResultSet.FETCH_FORWARD);
      statement.setFetchSize(500);
      statement.setMaxRows(2000);
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      try (ResultSet result = statement.executeQuery()) {
        ResultSetMetaData metadata = result.getMetaData();
        List<List<Object>> rows = new ArrayList<>();
        while (result.next()) {
          List<Object> row = new ArrayList<>();
          for (int column = 1; column <= metadata.getColumnCount(); column++)
            row.add(switch (metadata.getColumnTypeName(column)) {
              case "timestamptz" -> result.getObject(column, OffsetDateTime.class);
              case "date" -> result.getObject(column, LocalDate.class);
              default -> result.getObject(column) instanceof PGobject object ? object.getValue() : result.getObject(column);
            });
          rows.add(row);
        }
        return rows;
      }
    }
  }

  private static void seed() throws SQLException {
    try (Connection writer = connect();
        PreparedStatement statement = writer.prepareStatement(
            "INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate, weight,"
                + " admitted_at, smoker, visits) VALUES (?, 'Ada', 'King', '1815-12-10', ?, ?, ?, ?)")) {
      for (int month = 1; month <= 12; month++) {
        statement.setString(1, String.format("metabase-%02d", month));
        statement.setBigDecimal(2, new BigDecimal(60 + month + ".500"));
        statement.setObject(3, ADMITTED.withMonth(month));
        statement.setBoolean(4, month % 3 == 0);
        statement.setInt(5, month);
        statement.addBatch();
      }
      statement.executeBatch();
      writer.createStatement().execute(
          "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('metabase-01', 'Lovelace')");
      // Metabase connects with a token that only reads.
      token = (String) rows(writer, "CALL token_generate('service', 'metabase', 'read:*:*')").get(0).get(0);
    }
  }

  private static void connecting() {
    check("the connection is set as Metabase sets it", () -> {
      connection = connect("password", token, "ApplicationName", "Metabase v0.56.0 [3c9f4d6e]");
      DatabaseMetaData metadata = connection.getMetaData();
      same(metadata.supportsTransactionIsolationLevel(Connection.TRANSACTION_READ_UNCOMMITTED), true);
      connection.setTransactionIsolation(Connection.TRANSACTION_READ_UNCOMMITTED);
      connection.createStatement().execute("SET SESSION TIMEZONE TO 'UTC';");
      connection.setReadOnly(true);
      connection.setAutoCommit(false);
      connection.setHoldability(ResultSet.CLOSE_CURSORS_AT_COMMIT);
      same(connection.isValid(5), true);
    });
    check("can-connect?, the version, the time zone, the privileges on databases", () -> {
      same(texts(connection, "SELECT 1"), List.of(List.of("1")));
      same(connection.getMetaData().getDatabaseProductName(), "PostgreSQL");
      same(connection.getMetaData().getDatabaseMajorVersion(), 16);
      same(texts(connection, "show timezone;"), List.of(List.of("UTC")));
    });
  }

  private static void sync() {
    check("schemas, the excluded ones left out", () -> {
      List<String> names = new ArrayList<>();
      try (ResultSet result = connection.getMetaData().getSchemas()) {
        while (result.next()) names.add(result.getString("TABLE_SCHEM"));
      }
      same(names.containsAll(List.of("public", "eventful")), true);
    });
    check("tables: the driver's own statement", () -> {
      List<List<String>> found = texts(connection, """
          SELECT "n"."nspname" AS "schema", "c"."relname" AS "name", CASE "c"."relkind" WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE'
          WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS "type",
          "d"."description" AS "description", "stat"."n_live_tup" AS "estimated_row_count"
          FROM "pg_catalog"."pg_class" AS "c" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "c"."relnamespace" = "n"."oid"
          LEFT JOIN "pg_catalog"."pg_description" AS "d" ON ("c"."oid" = "d"."objoid") AND ("d"."objsubid" = 0) AND ("d"."classoid" = 'pg_class'::regclass)
          LEFT JOIN "pg_stat_user_tables" AS "stat" ON ("n"."nspname" = "stat"."schemaname") AND ("c"."relname" = "stat"."relname")
          WHERE ("c"."relnamespace" = "n"."oid") AND ("n"."nspname" !~ '^pg_') AND ("n"."nspname" <> 'information_schema')
          AND c.relkind in ('r', 'p', 'v', 'f', 'm') AND ("n"."nspname" IN (?, ?)) ORDER BY "type" ASC, "schema" ASC, "name" ASC""", "public", "eventful");
      List<String> mine = found.stream().filter(row -> row.get(0).equals("public")).map(row -> row.get(2) + " " + row.get(1) + " " + row.get(3)).toList();
      same(mine.subList(0, 1), List.of("TABLE patient Somebody who is cared for"));
      same(mine.stream().map(one -> one.replaceFirst("(VIEW \\S+).*", "$1")).toList().subList(1, 3), List.of("VIEW patient_events", "VIEW patient_history"));
    });
    check("privileges: the tables may be read, not written", () -> {
      List<String> privileges = new ArrayList<>();
      for (List<String> row : texts(connection, """
          with table_privileges as ( select NULL as role, t.schemaname as schema, t.objectname as table,
          pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'update') as update,
          pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'select') as select,
          pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'insert') as insert,
          pg_catalog.has_table_privilege( current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'delete') as delete
          from ( select schemaname, tablename as objectname from pg_catalog.pg_tables union select schemaname, viewname as objectname from pg_catalog.pg_views
          union select schemaname, matviewname as objectname from pg_catalog.pg_matviews ) t
          where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema' and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')
          ) select t.* from table_privileges t"""))
        if (row.get(1).equals("public")) privileges.add(row.get(2) + " " + row.subList(3, 7));
      privileges.sort(null);
      same(privileges.stream().allMatch(one -> one.endsWith("[false, true, false, false]")), true);
    });
    check("the probe of each table", () -> {
      for (String table : List.of("patient", "patient_events", "patient_history"))
        same(ask("SELECT TRUE AS \"_\" FROM \"public\".\"" + table + "\" WHERE 1 <> 1 LIMIT 0"), List.of());
    });
    check("fields with their types, positions, keys and comments", () -> {
      List<String> fields = new ArrayList<>();
      List<List<String>> found = texts(connection, """
          SELECT "c"."column_name" AS "name", CASE WHEN "c"."udt_schema" IN ('public', 'pg_catalog') THEN FORMAT('%s', "c"."udt_name")
          ELSE FORMAT('"%s"."%s"', "c"."udt_schema", "c"."udt_name") END AS "database-type", "c"."ordinal_position" - 1 AS "database-position",
          "c"."table_schema" AS "table-schema", "c"."table_name" AS "table-name", "pk"."column_name" IS NOT NULL AS "pk?",
          COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', CAST("c"."table_schema" AS TEXT), CAST("c"."table_name" AS TEXT)) AS REGCLASS) AS OID), "c"."ordinal_position") AS "field-comment",
          (("column_default" IS NULL) OR (LOWER("column_default") = 'null')) AND ("is_nullable" = 'NO') AND NOT ((("column_default" IS NOT NULL)
          AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO')) AS "database-required",
          (("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO') AS "database-is-auto-increment"
          FROM "information_schema"."columns" AS "c" LEFT JOIN (SELECT "tc"."table_schema", "tc"."table_name", "kc"."column_name"
          FROM "information_schema"."table_constraints" AS "tc" INNER JOIN "information_schema"."key_column_usage" AS "kc"
          ON ("tc"."constraint_name" = "kc"."constraint_name") AND ("tc"."table_schema" = "kc"."table_schema") AND ("tc"."table_name" = "kc"."table_name")
          WHERE "tc"."constraint_type" = 'PRIMARY KEY') AS "pk" ON ("c"."table_schema" = "pk"."table_schema") AND ("c"."table_name" = "pk"."table_name")
          AND ("c"."column_name" = "pk"."column_name") WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND ("c"."table_schema" IN (?))
          UNION ALL SELECT "pa"."attname" AS "name", CASE WHEN "ptn"."nspname" IN ('public', 'pg_catalog') THEN FORMAT('%s', "pt"."typname")
          ELSE FORMAT('"%s"."%s"', "ptn"."nspname", "pt"."typname") END AS "database-type", "pa"."attnum" - 1 AS "database-position",
          "pn"."nspname" AS "table-schema", "pc"."relname" AS "table-name", FALSE AS "pk?", NULL AS "field-comment", FALSE AS "database-required",
          FALSE AS "database-is-auto-increment" FROM "pg_catalog"."pg_class" AS "pc" INNER JOIN "pg_catalog"."pg_namespace" AS "pn" ON "pn"."oid" = "pc"."relnamespace"
          INNER JOIN "pg_catalog"."pg_attribute" AS "pa" ON "pa"."attrelid" = "pc"."oid" INNER JOIN "pg_catalog"."pg_type" AS "pt" ON "pt"."oid" = "pa"."atttypid"
          INNER JOIN "pg_catalog"."pg_namespace" AS "ptn" ON "ptn"."oid" = "pt"."typnamespace" WHERE ("pc"."relkind" = 'm') AND ("pa"."attnum" >= 1)
          AND ("pn"."nspname" IN (?)) ORDER BY "table-schema" ASC, "table-name" ASC, "database-position" ASC""", "public", "public");
      for (List<String> row : found) {
        if (row.get(4).equals("patient")) fields.add(row.get(0) + " " + row.get(1) + (row.get(5).equals("true") ? " key" : ""));
        if (row.get(0).equals("aggregate_id") && row.get(4).equals("patient")) same(row.get(6).isEmpty(), false);
      }
      same(fields, List.of("aggregate_id text key", "version int8", "created_at timestamptz", "updated_at timestamptz", "archived bool", "first_name text",
          "last_name text", "birthdate date", "weight numeric", "admitted_at timestamptz", "smoker bool", "visits int4"));
    });
    check("foreign keys: none", () -> same(texts(connection, """
        SELECT "fk_ns"."nspname" AS "fk-table-schema", "fk_table"."relname" AS "fk-table-name", "fk_column"."attname" AS "fk-column-name",
        "pk_ns"."nspname" AS "pk-table-schema", "pk_table"."relname" AS "pk-table-name", "pk_column"."attname" AS "pk-column-name"
        FROM "pg_constraint" AS "c" INNER JOIN "pg_class" AS "fk_table" ON "c"."conrelid" = "fk_table"."oid" INNER JOIN "pg_namespace" AS "fk_ns" ON "c"."connamespace" = "fk_ns"."oid"
        INNER JOIN "pg_attribute" AS "fk_column" ON "c"."conrelid" = "fk_column"."attrelid" INNER JOIN "pg_class" AS "pk_table" ON "c"."confrelid" = "pk_table"."oid"
        INNER JOIN "pg_namespace" AS "pk_ns" ON "pk_table"."relnamespace" = "pk_ns"."oid" INNER JOIN "pg_attribute" AS "pk_column" ON "c"."confrelid" = "pk_column"."attrelid"
        WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND ("c"."contype" = 'f'::char) AND ("fk_column"."attnum" = ANY(c.conkey))
        AND ("pk_column"."attnum" = ANY(c.confkey)) AND ("fk_ns"."nspname" IN (?)) ORDER BY "fk-table-schema" ASC, "fk-table-name" ASC""", "public"), List.of()));
    check("indexes: the key", () -> same(texts(connection, """
        SELECT "tmp"."table-schema", "tmp"."table-name", TRIM(BOTH '"' FROM "pg_catalog".PG_GET_INDEXDEF("tmp"."ci_oid", "tmp"."pos", FALSE)) AS "field-name"
        FROM (SELECT "n"."nspname" AS "table-schema", "ct"."relname" AS "table-name", "ci"."oid" AS "ci_oid",
        ("information_schema"._PG_EXPANDARRAY("i"."indkey"))."n" AS "pos" FROM "pg_catalog"."pg_class" AS "ct"
        INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "ct"."relnamespace" = "n"."oid" INNER JOIN "pg_catalog"."pg_index" AS "i" ON "ct"."oid" = "i"."indrelid"
        INNER JOIN "pg_catalog"."pg_class" AS "ci" ON "ci"."oid" = "i"."indexrelid" WHERE ("pg_catalog".PG_GET_EXPR("i"."indpred", "i"."indrelid") IS NULL)
        AND n.nspname !~ '^information_schema|catalog_history|pg_' AND ("n"."nspname" IN (?))) AS "tmp" WHERE "tmp"."pos" = 1""", "public"),
        List.of(List.of("public", "patient", "aggregate_id"))));
    check("enum types: none", () -> same(texts(connection,
        "SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum e)"), List.of()));
    check("the driver's metadata, as older versions sync: tables, columns, keys, indexes", () -> {
      DatabaseMetaData metadata = connection.getMetaData();
      List<String> found = new ArrayList<>();
      try (ResultSet result = metadata.getTables(null, "public", "%", new String[] {"TABLE", "PARTITIONED TABLE", "VIEW", "FOREIGN TABLE", "MATERIALIZED VIEW"})) {
        while (result.next()) found.add(result.getString("TABLE_NAME"));
      }
      same(found, List.of("patient", "patient_events", "patient_history"));
      for (String table : found)
        try (ResultSet result = metadata.getColumns(null, "public", table, null)) {
          same(result.next(), true);
        }
      try (ResultSet result = metadata.getPrimaryKeys(null, "public", "patient")) {
        result.next();
        same(result.getString("COLUMN_NAME"), "aggregate_id");
      }
      try (ResultSet result = metadata.getImportedKeys(null, "public", "patient")) {
        same(result.next(), false);
      }
      try (ResultSet result = metadata.getIndexInfo(null, "public", "patient", false, true)) {
        result.next();
        same(result.getString("COLUMN_NAME"), "aggregate_id");
      }
    });
  }

  private static void analysis() {
    check("fingerprints: ten thousand rows, long texts cut", () -> {
      List<List<Object>> rows = ask("""
          SELECT "public"."patient"."aggregate_id" AS "aggregate_id", SUBSTRING("public"."patient"."first_name", 1, 1234) AS "substring1",
          "public"."patient"."birthdate" AS "birthdate", "public"."patient"."weight" AS "weight", "public"."patient"."admitted_at" AS "admitted_at",
          "public"."patient"."smoker" AS "smoker", "public"."patient"."visits" AS "visits", "public"."patient"."version" AS "version"
          FROM "public"."patient" WHERE "public"."patient"."aggregate_id" LIKE 'metabase-%' ORDER BY 1 LIMIT 10000""");
      same(rows.size(), 12);
      same(rows.get(0), List.of("metabase-01", "Ada", LocalDate.of(1815, 12, 10), new BigDecimal("61.500"), ADMITTED, false, 1, 2L));
    });
    check("values of a field for its filter", () -> same(
        ask("SELECT \"public\".\"patient\".\"smoker\" AS \"smoker\" FROM \"public\".\"patient\" WHERE \"public\".\"patient\".\"aggregate_id\" LIKE 'metabase-%'"
            + " GROUP BY \"public\".\"patient\".\"smoker\" ORDER BY \"public\".\"patient\".\"smoker\" ASC LIMIT 1001"),
        List.of(List.of(false), List.of(true))));
    check("a sample of a json column, to unfold it", () -> {
      List<List<Object>> rows = ask("SELECT \"public\".\"patient_events\".\"payload\" FROM \"public\".\"patient_events\""
          + " WHERE LENGTH(CAST(\"public\".\"patient_events\".\"payload\" AS TEXT)) < 50000 AND aggregate_id = 'metabase-01' LIMIT 500");
      same(rows.get(1), List.of("{\"last_name\": \"Lovelace\"}"));
    });
    check("an unfolded json field", () -> same(
        ask("SELECT (\"public\".\"patient_events\".\"payload\"#>> array[?]::text[])::decimal AS \"payload → weight\" FROM \"public\".\"patient_events\""
            + " WHERE \"public\".\"patient_events\".\"aggregate_id\" = ? AND \"public\".\"patient_events\".\"version\" = 1 LIMIT 2000", "weight", "metabase-02"),
        List.of(List.of(new BigDecimal("62.500")))));
  }

  private static void questions() {
    String table = "\"public\".\"patient\"";
    String mine = " AND (" + table + ".\"aggregate_id\" LIKE ?) ";
    check("raw rows of a table", () -> same(ask("SELECT " + table + ".\"aggregate_id\" AS \"aggregate_id\", " + table + ".\"last_name\" AS \"last_name\" FROM " + table
        + " WHERE (" + table + ".\"smoker\" = TRUE)" + mine + "LIMIT 2000", "metabase-%").size(), 4));
    for (String unit : List.of("minute", "hour", "week", "month", "quarter", "year"))
      check("a question by " + unit, () -> {
        String bucket = "DATE_TRUNC('" + unit + "', " + table + ".\"admitted_at\")";
        List<List<Object>> rows = ask("SELECT " + bucket + " AS \"admitted_at\", COUNT(*) AS \"count\", AVG(" + table + ".\"weight\") AS \"avg\", SUM("
            + table + ".\"visits\") AS \"sum\" FROM " + table + " WHERE (" + table + ".\"admitted_at\" >= timestamp with time zone '2026-01-01 00:00:00.000Z')"
            + mine + "GROUP BY " + bucket + " ORDER BY " + bucket + " ASC", "metabase-%");
        same(rows.stream().mapToLong(row -> (Long) row.get(1)).sum(), 12L);
        same(List.of(rows.get(0).get(0).getClass(), rows.get(0).get(2).getClass(), rows.get(0).get(3).getClass()), List.of(OffsetDateTime.class, BigDecimal.class, Long.class));
      });
    check("by day, by day of the week, by hour of the day", () -> {
      String at = table + ".\"admitted_at\"";
      for (String bucket : List.of("CAST(" + at + " AS DATE)", "((CAST(extract(dow from " + at + ") AS integer) + 1 + 6) % 7)", "CAST(extract(hour from " + at + ") AS integer)"))
        same(ask("SELECT " + bucket + " AS \"b\", COUNT(*) AS \"count\" FROM " + table + " WHERE TRUE" + mine + "GROUP BY " + bucket + " ORDER BY " + bucket + " ASC",
            "metabase-%").isEmpty(), false);
    });
    check("a median, a histogram, a relative date", () -> {
      same(ask("SELECT PERCENTILE_CONT(0.5) within group (order by " + table + ".\"visits\") AS \"median\" FROM " + table + " WHERE TRUE" + mine, "metabase-%"),
          List.of(List.of(6.5)));
      same(ask("SELECT FLOOR(((" + table + ".\"weight\" - 60) / 5)) * 5 + 60 AS \"weight\", COUNT(*) AS \"count\" FROM " + table + " WHERE TRUE" + mine
          + "GROUP BY FLOOR(((" + table + ".\"weight\" - 60) / 5)) * 5 + 60 ORDER BY 1", "metabase-%").size(), 3);
      same(ask("SELECT COUNT(*) AS \"count\" FROM " + table + " WHERE (" + table + ".\"created_at\" >= DATE_TRUNC('day', (NOW() + INTERVAL '-30 day')))" + mine, "metabase-%"),
          List.of(List.of(12L)));
    });
    check("a native question over the past, with variables", () -> same(
        ask("SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = ?", "metabase-01"), List.of(List.of("King"))));
    check("a native question used as a table", () -> same(
        ask("SELECT \"source\".\"event_type\" AS \"event_type\", COUNT(*) AS \"count\" FROM (SELECT * FROM patient_events WHERE aggregate_id LIKE 'metabase-%') AS \"source\""
            + " GROUP BY \"source\".\"event_type\" ORDER BY \"source\".\"event_type\" ASC"),
        List.of(List.of("patient_created", 12L), List.of("patient_updated", 1L))));
    check("an error, ROLLBACK, and the next question", () -> {
      fails("42703", () -> ask("SELECT nope FROM patient"));
      connection.rollback();
      fails("25006", () -> ask("INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('x', 'x') RETURNING version"));
      connection.rollback();
      same(ask("SELECT 1 AS one"), List.of(List.of(1)));
    });
    check("a question stopped by its user: 57014", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT pg_sleep(30)")) {
        Thread stopper = new Thread(() -> {
          try {
            Thread.sleep(200);
            statement.cancel();
          } catch (Exception error) {
            throw new IllegalStateException(error);
          }
        });
        stopper.start();
        fails("57014", statement::executeQuery);
        stopper.join();
      }
      connection.rollback();
    });
  }

  public static void main(String[] args) throws Exception {
    check("append what the questions show", Metabase::seed);
    connecting();
    sync();
    analysis();
    questions();
    connection.close();
    finish("Metabase's statements over pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION);
  }
}
