import java.io.StringReader;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;

/** pgjdbc: metadata in full, server-prepared statements with binary transfer, cursors by fetch size, batches, COPY. */
public final class Client extends Checks {
  private static final String ID = "pgjdbc-1";
  private static final String CREATED =
      "INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate, weight,"
          + " admitted_at, smoker, visits) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING version, position, event_id";
  private static final String UPDATED =
      "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?) RETURNING version, position, event_id";
  private static final OffsetDateTime ADMITTED =
      OffsetDateTime.of(2026, 1, 2, 3, 4, 5, 678_901_000, ZoneOffset.UTC);
  private static final LocalDate BIRTH = LocalDate.of(1815, 12, 10);

  private static Connection connection;
  private static long position;
  private static UUID eventId;
  private static OffsetDateTime between;

  private static List<List<Object>> rows(String sql, Object... values) throws SQLException {
    return rows(connection, sql, values);
  }

  private static void setCreated(PreparedStatement statement, String id) throws SQLException {
    statement.setString(1, id);
    statement.setString(2, "Ada");
    statement.setString(3, "King");
    statement.setObject(4, BIRTH);
    statement.setBigDecimal(5, new BigDecimal("61.500"));
    statement.setObject(6, ADMITTED);
    statement.setBoolean(7, true);
    statement.setInt(8, 3);
  }

  private static void sameState(ResultSet result, String lastName) throws SQLException {
    same(result.getString("last_name"), lastName);
    same(result.getObject("birthdate", LocalDate.class), BIRTH);
    same(result.getBigDecimal("weight"), new BigDecimal("61.500"));
    same(result.getObject("admitted_at", OffsetDateTime.class), ADMITTED);
    same(result.getBoolean("smoker"), true);
    same(result.getInt("visits"), 3);
  }

  private static void core() {
    check("append", () -> {
      try (PreparedStatement statement = connection.prepareStatement(CREATED)) {
        setCreated(statement, ID);
        ResultSet result = statement.executeQuery();
        result.next();
        same(result.getLong("version"), 1L);
        position = result.getLong("position");
        eventId = (UUID) result.getObject("event_id");
        same(position > 0, true);
      }
    });
    check("append again, as an update count", () -> {
      Thread.sleep(20);
      between = OffsetDateTime.now(ZoneOffset.UTC);
      Thread.sleep(20);
      try (PreparedStatement statement =
          connection.prepareStatement("INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?)")) {
        statement.setString(1, ID);
        statement.setString(2, "Lovelace");
        same(statement.executeUpdate(), 1);
      }
    });
    check("read state, typed", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM patient WHERE aggregate_id = ?")) {
        statement.setString(1, ID);
        ResultSet result = statement.executeQuery();
        result.next();
        sameState(result, "Lovelace");
      }
    });
    check("AS OF VERSION ?", () -> {
      for (Object version : new Object[] {1, 1L, (short) 1})
        same(rows("SELECT last_name FROM patient AS OF VERSION ? WHERE aggregate_id = ?", version, ID), List.of(List.of("King")));
    });
    check("AS OF TIMESTAMP ?", () -> {
      String sql = "SELECT p.last_name FROM patient AS OF TIMESTAMP ? p WHERE p.aggregate_id = ?";
      same(rows(sql, between, ID), List.of(List.of("King")));
      same(rows(sql, java.sql.Timestamp.from(between.toInstant()), ID), List.of(List.of("King")));
    });
    check("AS OF POSITION ?", () ->
        same(rows("SELECT last_name FROM patient AS OF POSITION ? WHERE aggregate_id = ?", position, ID), List.of(List.of("King"))));
    check("history and events", () -> {
      same(rows("SELECT version, last_name FROM patient_history WHERE aggregate_id = ? ORDER BY version", ID),
          List.of(List.of(1L, "King"), List.of(2L, "Lovelace")));
      List<List<Object>> events =
          rows("SELECT event_id, payload->>'weight' FROM patient_events WHERE aggregate_id = ? ORDER BY version", ID);
      same(events.get(0), List.of(eventId, "61.500"));
    });
    check("error: unknown field 42703", () ->
        fails("42703", () -> rows("INSERT INTO patient EVENTS patient_created (aggregate_id, nope) VALUES (?, ?) RETURNING version", ID, "x")));
    check("error: UPDATE 0A000", () ->
        fails("0A000", () -> connection.prepareStatement("UPDATE patient SET visits = 1").executeUpdate()));
    check("error: expected version 40001", () ->
        fails("40001", () -> rows(
            "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?) EXPECT VERSION ? RETURNING version", ID, "x", 9)));
    check("goes on after errors", () ->
        same(rows("SELECT version FROM patient WHERE aggregate_id = ?", ID), List.of(List.of(2L))));
    check("transaction: reads its own writes, rolls back, savepoint, commits", () -> {
      connection.setAutoCommit(false);
      try {
        String sql = "SELECT last_name FROM patient WHERE aggregate_id = ?";
        rows(UPDATED, ID, "Byron");
        same(rows(sql, ID), List.of(List.of("Byron")));
        connection.rollback();
        same(rows(sql, ID), List.of(List.of("Lovelace")));
        rows(UPDATED, "pgjdbc-2", "outer");
        var savepoint = connection.setSavepoint("inner");
        rows(UPDATED, "pgjdbc-2", "inner");
        fails("0A000", () -> connection.createStatement().execute("DELETE FROM patient"));
        fails("25P02", () -> connection.createStatement().execute("SELECT 1"));
        connection.rollback(savepoint);
        rows(UPDATED, "pgjdbc-3", "other");
        connection.commit();
        same(rows("SELECT last_name, version FROM patient WHERE aggregate_id IN ('pgjdbc-2', 'pgjdbc-3') ORDER BY aggregate_id"),
            List.of(List.of("outer", 1L), List.of("other", 1L)));
        connection.commit();
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    });
    check("read-only transaction refuses appends 25006", () -> {
      try (Connection other = connect()) {
        other.setReadOnly(true);
        other.setAutoCommit(false);
        fails("25006", () -> rows(other, UPDATED, ID, "x"));
        other.rollback();
        same(rows(other, "SELECT count(*) FROM patient WHERE aggregate_id = ?", ID), List.of(List.of(1L)));
      }
    });
  }

  private static void prepared() {
    check("server-prepared after five executions, binary: appends", () -> {
      try (PreparedStatement statement = connection.prepareStatement(CREATED)) {
        for (long number = 1; number <= 12; number++) {
          setCreated(statement, "pgjdbc-4");
          ResultSet result = statement.executeQuery();
          result.next();
          same(result.getLong(1), number);
          same(result.getLong(2) > position, true);
          same(result.getObject(3).getClass(), UUID.class);
        }
        same(statement.unwrap(PGStatement.class).isUseServerPrepare(), true);
      }
    });
    check("server-prepared after five executions, binary: reads", () -> {
      for (String from : List.of("patient", "patient AS OF VERSION 5", "patient_history")) {
        String sql = "SELECT * FROM " + from + " WHERE aggregate_id = ? AND visits = ? AND weight > ? AND birthdate = ?";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
          for (int number = 0; number < 12; number++) {
            statement.setString(1, "pgjdbc-4");
            statement.setInt(2, 3);
            statement.setBigDecimal(3, BigDecimal.ONE);
            statement.setObject(4, BIRTH);
            ResultSet result = statement.executeQuery();
            same(result.next(), true);
            sameState(result, "King");
          }
        }
      }
    });
    check("server-prepared after five executions: AS OF VERSION ? and TIMESTAMP ?", () -> {
      for (long version = 1; version <= 12; version++) {
        same(rows("SELECT version FROM patient AS OF VERSION ? WHERE aggregate_id = ?", version, "pgjdbc-4"), List.of(List.of(version)));
        same(rows("SELECT last_name FROM patient AS OF TIMESTAMP ? WHERE aggregate_id = ?", between, ID), List.of(List.of("King")));
      }
    });
    check("binary transfer from the first execution", () -> {
      try (Connection other = connect("prepareThreshold", "-1", "binaryTransferEnable", "numeric,date,timestamptz,bool,int4,int8,uuid,text")) {
        for (String from : List.of("patient", "patient AS OF VERSION 3"))
          try (PreparedStatement statement = other.prepareStatement("SELECT * FROM " + from + " WHERE aggregate_id = 'pgjdbc-4'")) {
            ResultSet result = statement.executeQuery();
            result.next();
            sameState(result, "King");
          }
        try (PreparedStatement statement = other.prepareStatement(CREATED)) {
          setCreated(statement, "pgjdbc-5");
          ResultSet result = statement.executeQuery();
          result.next();
          same(result.getLong(1), 1L);
          same(result.getLong(2) > position, true);
        }
      }
    });
    for (String mode : List.of("simple", "extended", "extendedForPrepared", "extendedCacheEverything"))
      check("preferQueryMode=" + mode, () -> {
        try (Connection other = connect("preferQueryMode", mode)) {
          String id = "pgjdbc-mode-" + mode;
          for (long number = 1; number <= 7; number++) {
            same(rows(other, "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?) RETURNING version", id, "n" + number),
                List.of(List.of(number)));
            same(rows(other, "SELECT last_name FROM patient AS OF VERSION ? WHERE aggregate_id = ?", number, id), List.of(List.of("n" + number)));
          }
        }
      });
    check("parameter metadata of a dialect statement", () -> {
      try (PreparedStatement statement = connection.prepareStatement(CREATED)) {
        var metadata = statement.getParameterMetaData();
        same(metadata.getParameterCount(), 8);
        List<String> types = new ArrayList<>();
        for (int i = 1; i <= 8; i++) types.add(metadata.getParameterTypeName(i));
        same(types, List.of("text", "text", "text", "date", "numeric", "timestamptz", "bool", "int4"));
        same(statement.getMetaData().getColumnTypeName(3), "uuid");
      }
    });
    check("result metadata: tables, names, nullability", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT aggregate_id AS id, weight, visits + 1 FROM patient")) {
        ResultSetMetaData metadata = statement.getMetaData();
        same(metadata.getTableName(1), "patient");
        same(((org.postgresql.PGResultSetMetaData) metadata).getBaseSchemaName(1), "public");
        same(((org.postgresql.PGResultSetMetaData) metadata).getBaseColumnName(1), "aggregate_id");
        same(metadata.isNullable(1), ResultSetMetaData.columnNoNulls);
        same(metadata.isNullable(2), ResultSetMetaData.columnNullable);
        same(metadata.getPrecision(2), 8);
        same(metadata.getScale(2), 3);
        same(metadata.getColumnType(2), Types.NUMERIC);
        same(metadata.getTableName(3), "");
      }
    });
    check("RETURN_GENERATED_KEYS", () -> {
      String sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES (?, ?)";
      try (PreparedStatement statement = connection.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
        statement.setString(1, "pgjdbc-6");
        statement.setString(2, "x");
        same(statement.executeUpdate(), 1);
        ResultSet keys = statement.getGeneratedKeys();
        same(keys.next(), true);
        same(keys.getString("aggregate_id"), "pgjdbc-6");
      }
      try (PreparedStatement statement = connection.prepareStatement(sql, new String[] {"version", "event_id"})) {
        statement.setString(1, "pgjdbc-6");
        statement.setString(2, "y");
        same(statement.executeUpdate(), 1);
        ResultSet keys = statement.getGeneratedKeys();
        same(keys.next(), true);
        same(keys.getLong("version"), 2L);
      }
    });
  }

  private static void batches() {
    String sql = "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES (?, ?)";
    for (boolean rewrite : new boolean[] {false, true})
      check("batch of 500" + (rewrite ? ", reWriteBatchedInserts" : ""), () -> {
        try (Connection other = connect("reWriteBatchedInserts", String.valueOf(rewrite))) {
          for (boolean auto : new boolean[] {true, false}) {
            other.setAutoCommit(auto);
            String id = "pgjdbc-batch-" + rewrite + auto;
            try (PreparedStatement statement = other.prepareStatement(sql)) {
              for (int number = 1; number <= 500; number++) {
                statement.setString(1, id);
                statement.setInt(2, number);
                statement.addBatch();
              }
              same(statement.executeBatch().length, 500);
            }
            if (!auto) other.commit();
            same(rows(other, "SELECT version, visits FROM patient WHERE aggregate_id = ?", id), List.of(List.of(500L, 500)));
          }
        }
      });
    check("batch with generated keys", () -> {
      try (PreparedStatement statement = connection.prepareStatement(sql, new String[] {"version"})) {
        for (int number = 1; number <= 20; number++) {
          statement.setString(1, "pgjdbc-7");
          statement.setInt(2, number);
          statement.addBatch();
        }
        statement.executeBatch();
        ResultSet keys = statement.getGeneratedKeys();
        for (long number = 1; number <= 20; number++) {
          keys.next();
          same(keys.getLong(1), number);
        }
      }
    });
    check("batch with an error: nothing is kept, goes on", () -> {
      connection.setAutoCommit(false);
      try (PreparedStatement statement = connection.prepareStatement(sql + " EXPECT VERSION 0")) {
        for (int number = 1; number <= 3; number++) {
          statement.setString(1, "pgjdbc-8");
          statement.setInt(2, number);
          statement.addBatch();
        }
        try {
          statement.executeBatch();
          throw new AssertionError("no error");
        } catch (BatchUpdateException error) {
          same(error.getSQLState(), "40001");
        }
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
      same(rows("SELECT count(*) FROM patient WHERE aggregate_id = 'pgjdbc-8'"), List.of(List.of(0L)));
    });
    check("batch of different statements", () -> {
      try (Statement statement = connection.createStatement()) {
        for (int number = 1; number <= 3; number++)
          statement.addBatch("INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('pgjdbc-9', " + number + ")");
        same(Arrays.toString(statement.executeBatch()), "[1, 1, 1]");
      }
    });
  }

  private static void cursors() {
    for (String from : List.of("patient_history", "patient_events", "generate_series(1, 500) AS version"))
      check("setFetchSize over " + from.split(" ")[0], () -> {
        connection.setAutoCommit(false);
        boolean series = from.startsWith("generate");
        String sql = "SELECT version FROM " + from + (series ? "" : " WHERE aggregate_id = 'pgjdbc-batch-falsetrue'") + " ORDER BY version";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
          for (int round = 0; round < 7; round++) {
            statement.setFetchSize(50);
            ResultSet result = statement.executeQuery();
            for (long expected = 1; expected <= 500; expected++) {
              same(result.next(), true);
              same(result.getLong(1), expected);
            }
            same(result.next(), false);
          }
        } finally {
          connection.rollback();
          connection.setAutoCommit(true);
        }
      });
    check("setFetchSize, an append between two fetches", () -> {
      connection.setAutoCommit(false);
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(10);
        ResultSet result = statement.executeQuery("SELECT version FROM patient_history WHERE aggregate_id = 'pgjdbc-batch-falsetrue' ORDER BY version");
        for (long expected = 1; expected <= 100; expected++) {
          result.next();
          same(result.getLong(1), expected);
          if (expected % 25 == 0) rows(UPDATED, "pgjdbc-10", "at " + expected);
        }
        connection.commit();
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
      same(rows("SELECT version FROM patient WHERE aggregate_id = 'pgjdbc-10'"), List.of(List.of(4L)));
    });
    check("setFetchSize over RETURNING", () -> {
      connection.setAutoCommit(false);
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(2);
        ResultSet result = statement.executeQuery(
            "INSERT INTO patient EVENTS patient_updated (aggregate_id, visits)"
                + " VALUES ('pgjdbc-11', 1), ('pgjdbc-11', 2), ('pgjdbc-11', 3) RETURNING version");
        same(read(result), List.of(List.of(1L), List.of(2L), List.of(3L)));
        connection.commit();
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    });
    check("scrollable and WITH HOLD result sets", () -> {
      try (Statement statement =
          connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT)) {
        ResultSet result = statement.executeQuery("SELECT version FROM patient_history WHERE aggregate_id = 'pgjdbc-4' ORDER BY version");
        result.last();
        same(result.getRow(), 12);
        result.absolute(3);
        same(result.getLong(1), 3L);
      }
    });
    check("setMaxRows", () -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT version FROM patient_history WHERE aggregate_id = 'pgjdbc-4' ORDER BY 1")) {
        statement.setMaxRows(3);
        for (int round = 0; round < 7; round++)
          same(read(statement.executeQuery()), List.of(List.of(1L), List.of(2L), List.of(3L)));
      }
    });
    check("setMaxRows over RETURNING keeps every event and its position", () -> {
      try (PreparedStatement statement = connection.prepareStatement(UPDATED)) {
        statement.setMaxRows(1);
        statement.setString(1, "pgjdbc-12");
        statement.setString(2, "x");
        ResultSet result = statement.executeQuery();
        result.next();
        same(result.getLong("position") > 0, true);
      }
    });
  }

  private static void others() {
    check("COPY EVENTS in, COPY out", () -> {
      CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder data = new StringBuilder("aggregate_id,last_name\n");
      for (int number = 0; number < 1000; number++) data.append("pgjdbc-copy-").append(number).append(",Name ").append(number).append('\n');
      same(copy.copyIn("COPY patient EVENTS patient_updated (aggregate_id, last_name) FROM STDIN WITH (FORMAT csv, HEADER)",
          new StringReader(data.toString())), 1000L);
      StringWriter out = new StringWriter();
      same(copy.copyOut("COPY (SELECT last_name FROM patient WHERE aggregate_id LIKE 'pgjdbc-copy-%') TO STDOUT", out), 1000L);
      same(out.toString().contains("Name 999\n"), true);
    });
    check("LISTEN", () -> {
      try (Connection other = connect()) {
        other.createStatement().execute("LISTEN patient");
        rows(UPDATED, "pgjdbc-13", "x");
        PGNotification[] heard = other.unwrap(PGConnection.class).getNotifications(5000);
        same(heard == null ? 0 : heard.length, 1);
        same(heard[0].getParameter().contains("pgjdbc-13"), true);
      }
    });
    check("cancel and query timeout 57014", () -> {
      try (Statement statement = connection.createStatement()) {
        Thread canceller = new Thread(() -> {
          try {
            Thread.sleep(200);
            statement.cancel();
          } catch (Exception error) {
            throw new IllegalStateException(error);
          }
        });
        canceller.start();
        fails("57014", () -> statement.executeQuery("SELECT pg_sleep(30)"));
        canceller.join();
        statement.setQueryTimeout(1);
        fails("57014", () -> statement.executeQuery("SELECT pg_sleep(30)"));
      }
      same(rows("SELECT 1"), List.of(List.of(1)));
    });
    check("null parameters of every type", () -> {
      try (PreparedStatement statement = connection.prepareStatement(CREATED)) {
        for (int round = 0; round < 7; round++) {
          setCreated(statement, "pgjdbc-14");
          int[] types = {Types.VARCHAR, Types.VARCHAR, Types.DATE, Types.NUMERIC, Types.TIMESTAMP_WITH_TIMEZONE, Types.BOOLEAN, Types.INTEGER};
          for (int i = 0; i < types.length; i++) statement.setNull(i + 2, types[i]);
          statement.executeQuery();
        }
        ResultSet result = connection.createStatement().executeQuery("SELECT * FROM patient WHERE aggregate_id = 'pgjdbc-14'");
        result.next();
        same(result.getObject("weight"), null);
        same(result.getObject("admitted_at"), null);
      }
    });
    check("java.sql.Date and Timestamp parameters, int as text", () -> {
      try (PreparedStatement statement = connection.prepareStatement(CREATED)) {
        for (int round = 0; round < 7; round++) {
          setCreated(statement, "pgjdbc-15");
          statement.setDate(4, java.sql.Date.valueOf(BIRTH));
          statement.setTimestamp(6, java.sql.Timestamp.from(ADMITTED.toInstant()));
          statement.setLong(8, 3L);
          statement.setDouble(5, 61.5);
          statement.executeQuery();
        }
      }
      try (ResultSet result = connection.createStatement().executeQuery("SELECT * FROM patient WHERE aggregate_id = 'pgjdbc-15'")) {
        result.next();
        sameState(result, "King");
      }
    });
    check("wrong password 28P01", () -> fails("28P01", () -> connect("password", "not a token")));
    check("isolation levels, schema, catalogue, isValid, client info", () -> {
      try (Connection other = connect("ApplicationName", "clients")) {
        same(other.getCatalog(), "eventful");
        same(other.getSchema(), "public");
        same(other.isValid(2), true);
        same(other.getTransactionIsolation(), Connection.TRANSACTION_READ_COMMITTED);
        other.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        same(other.getTransactionIsolation(), Connection.TRANSACTION_REPEATABLE_READ);
        other.setClientInfo("ApplicationName", "other");
        same(rows(other, "SHOW application_name"), List.of(List.of("other")));
      }
    });
    check("events of an array parameter", () -> {
      var ids = connection.createArrayOf("text", new Object[] {ID, "pgjdbc-2"});
      for (int round = 0; round < 7; round++)
        same(rows("SELECT count(*) FROM patient_events WHERE aggregate_id = ANY (?)", ids), List.of(List.of(3L)));
    });
  }

  /** Every method of DatabaseMetaData that answers something, with arguments that reach the aggregate's table. */
  private static void metadata() throws SQLException {
    DatabaseMetaData metadata = connection.getMetaData();
    List<Method> methods = new ArrayList<>(List.of(DatabaseMetaData.class.getDeclaredMethods()));
    methods.sort((a, b) -> a.getName().compareTo(b.getName()));
    for (Method method : methods) {
      if (method.isDefault() || method.isSynthetic()) continue;
      check("DatabaseMetaData." + method.getName() + "(" + method.getParameterCount() + ")", () -> {
        Object[] arguments = Arrays.stream(method.getParameterTypes()).map(Client::argument).toArray();
        fill(method.getName(), arguments);
        try {
          Object result = method.invoke(metadata, arguments);
          if (result instanceof ResultSet set) read(set);
        } catch (InvocationTargetException error) {
          if (error.getCause() instanceof java.sql.SQLFeatureNotSupportedException) return;
          throw (Exception) error.getCause();
        }
      });
    }
    check("getTables names the aggregate and its views", () -> {
      List<String> names = new ArrayList<>();
      try (ResultSet result = metadata.getTables(null, "public", "patient%", new String[] {"TABLE", "VIEW"})) {
        while (result.next()) names.add(result.getString("TABLE_TYPE") + " " + result.getString("TABLE_NAME"));
      }
      same(names, List.of("TABLE patient", "VIEW patient_events", "VIEW patient_history"));
    });
    check("getTables has the comment", () -> {
      try (ResultSet result = metadata.getTables(null, "public", "patient", null)) {
        result.next();
        same(result.getString("REMARKS"), "Somebody who is cared for");
      }
    });
    check("getColumns has the types", () -> {
      List<String> columns = new ArrayList<>();
      try (ResultSet result = metadata.getColumns(null, "public", "patient", "%")) {
        while (result.next())
          columns.add(result.getString("COLUMN_NAME") + " " + result.getString("TYPE_NAME") + " " + result.getString("IS_NULLABLE"));
      }
      same(columns, List.of("aggregate_id text NO", "version int8 NO", "created_at timestamptz NO", "updated_at timestamptz NO",
          "archived bool NO", "first_name text YES", "last_name text YES", "birthdate date YES", "weight numeric YES",
          "admitted_at timestamptz YES", "smoker bool YES", "visits int4 YES"));
    });
    check("getPrimaryKeys, getBestRowIdentifier, getIndexInfo name aggregate_id", () -> {
      try (ResultSet result = metadata.getPrimaryKeys(null, "public", "patient")) {
        same(result.next(), true);
        same(result.getString("COLUMN_NAME"), "aggregate_id");
      }
      try (ResultSet result = metadata.getBestRowIdentifier(null, "public", "patient", DatabaseMetaData.bestRowSession, true)) {
        same(result.next(), true);
        same(result.getString("COLUMN_NAME"), "aggregate_id");
      }
      try (ResultSet result = metadata.getIndexInfo(null, "public", "patient", true, false)) {
        same(result.next(), true);
        same(result.getString("INDEX_NAME"), "patient_pkey");
      }
    });
    check("getSchemas lists public", () -> {
      List<String> names = new ArrayList<>();
      try (ResultSet result = metadata.getSchemas()) {
        while (result.next()) names.add(result.getString(1));
      }
      same(names.contains("public") && names.contains("eventful"), true);
    });
  }

  private static Object argument(Class<?> type) {
    if (type == int.class) return 1;
    if (type == boolean.class) return true;
    return null;
  }

  /** Names instead of nulls, where the order of a method's strings tells what they are. */
  private static void fill(String name, Object[] arguments) {
    if (arguments.length < 3) return;
    if (name.equals("getCrossReference")) {
      arguments[2] = arguments[5] = "patient";
      arguments[1] = arguments[4] = "public";
    } else if (List.of("getColumns", "getPrimaryKeys", "getIndexInfo", "getBestRowIdentifier", "getVersionColumns",
        "getImportedKeys", "getExportedKeys", "getTablePrivileges", "getColumnPrivileges", "getTables").contains(name)) {
      arguments[1] = "public";
      arguments[2] = "patient";
    }
    if (name.equals("getColumnPrivileges")) arguments[3] = "%";
  }

  public static void main(String[] args) throws Exception {
    connection = connect();
    core();
    prepared();
    batches();
    cursors();
    others();
    metadata();
    connection.close();
    finish(connection.getClass().getPackage().getImplementationTitle() + " " + org.postgresql.util.DriverInfo.DRIVER_VERSION);
  }
}
