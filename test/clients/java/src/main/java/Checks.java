import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

/** One line a check, as every client of this directory prints them. */
abstract class Checks {
  private static int failed = 0;

  interface Body {
    void run() throws Exception;
  }

  static void check(String name, Body body) {
    try {
      body.run();
      System.out.println("ok " + name);
    } catch (Throwable error) {
      failed++;
      String state = error instanceof SQLException sql ? sql.getSQLState() + " " : "";
      StackTraceElement at =
          Arrays.stream(error.getStackTrace())
              .filter(frame -> frame.getFileName() != null && frame.getFileName().matches("(Client|Metabase|DBeaver)\\.java"))
              .findFirst()
              .orElse(null);
      System.out.println("not ok " + name + ": " + state + String.valueOf(error).replaceAll("\\s+", " ")
          + (at == null ? "" : " (line " + at.getLineNumber() + ")"));
    }
  }

  static void same(Object actual, Object expected) {
    if (!Objects.equals(actual, expected))
      throw new AssertionError("expected " + expected + ", got " + actual);
  }

  static SQLException fails(String state, Body body) throws Exception {
    try {
      body.run();
    } catch (SQLException error) {
      same(error.getSQLState(), state);
      return error;
    }
    throw new AssertionError("no error where " + state + " was due");
  }

  static Connection connect(String... settings) throws SQLException {
    Properties properties = new Properties();
    properties.put("user", System.getenv("PGUSER"));
    properties.put("password", System.getenv("PGPASSWORD"));
    properties.put("sslmode", "disable");
    for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    return DriverManager.getConnection(url, properties);
  }

  static List<List<Object>> rows(Connection on, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = on.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      try (ResultSet result = statement.executeQuery()) {
        return read(result);
      }
    }
  }

  static List<List<Object>> read(ResultSet result) throws SQLException {
    List<List<Object>> rows = new ArrayList<>();
    int columns = result.getMetaData().getColumnCount();
    while (result.next()) {
      List<Object> row = new ArrayList<>();
      for (int column = 1; column <= columns; column++) row.add(result.getObject(column));
      rows.add(row);
    }
    return rows;
  }

  /** The rows' values as text. */
  static List<List<String>> texts(Connection on, String sql, Object... values) throws SQLException {
    List<List<String>> texts = new ArrayList<>();
    for (List<Object> row : rows(on, sql, values)) texts.add(row.stream().map(String::valueOf).toList());
    return texts;
  }

  static void finish(String version) {
    System.out.println("# version " + version + ", Java " + System.getProperty("java.version"));
    System.exit(failed == 0 ? 0 : 1);
  }
}
