import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;

/**
 * What DBeaver sends, through the driver that DBeaver uses: its connection, the tree of schemas, tables, columns, constraints, indexes,
 * types and roles, a table's DDL, the data grid, a plan. The statements are those of its PostgreSQL extension
 * (org.jkiss.dbeaver.ext.postgresql/model, as version 25.1 sends them); DBeaver itself is not installed.
 */
public final class DBeaver extends Checks {
  private static Connection connection;
  private static long schema;
  private static long table;

  private static void seed() throws SQLException {
    try (Connection writer = connect(); Statement statement = writer.createStatement()) {
      statement.execute("INSERT INTO patient EVENTS patient_created (aggregate_id, first_name, last_name, birthdate, weight, admitted_at, smoker, visits)"
          + " VALUES ('dbeaver-1', 'Ada', 'King', '1815-12-10', 61.500, '2026-01-02 03:04:05.678901+00', true, 3)");
      statement.execute("INSERT INTO patient EVENTS patient_updated (aggregate_id, last_name) VALUES ('dbeaver-1', 'Lovelace')");
    }
  }

  private static List<List<String>> ask(String sql, Object... values) throws SQLException {
    return texts(connection, sql, values);
  }

  /** One named column of an answer that has all of a catalogue's columns. */
  private static List<String> column(String name, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      try (ResultSet result = statement.executeQuery()) {
        List<String> found = new ArrayList<>();
        while (result.next()) found.add(result.getString(name));
        return found;
      }
    }
  }

  private static void connecting() {
    check("connect, application_name, search_path, context", () -> {
      connection = connect("ApplicationName", "DBeaver 25.1.5 - Metadata <eventful>");
      connection.createStatement().execute("SET application_name = 'DBeaver 25.1.5 - Main <eventful>'");
      same(ask("SELECT current_schema(),session_user").get(0).get(0), "public");
      same(ask("SHOW search_path").size(), 1);
      same(ask("SELECT version()").get(0).get(0).startsWith("PostgreSQL 16"), true);
    });
    check("probes: keywords, enums, row types, settings", () -> {
      same(ask("select string_agg(word, ',') from pg_catalog.pg_get_keywords() where word <> ALL ('{a,abs,absolute,action,year,zone}'::text[])").size(), 1);
      same(ask("SELECT * FROM pg_catalog.pg_enum WHERE 1<>1 LIMIT 1"), List.of());
      same(ask("SELECT reltype FROM pg_catalog.pg_class WHERE 1<>1 LIMIT 1"), List.of());
      same(column("setting", "SELECT * FROM pg_catalog.pg_settings where name=?", "standard_conforming_strings"), List.of("on"));
      same(connection.getMetaData().getSQLKeywords().isEmpty(), false);
    });
    check("databases", () -> {
      same(column("datname", "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datname=?", "eventful"), List.of("eventful"));
      same(column("datname", "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE 1=1 AND datallowconn AND NOT datistemplate OR db.datname=?"
          + " ORDER BY db.datname", "eventful").contains("eventful"), true);
    });
  }

  private static void tree() {
    check("schemas", () -> {
      String sql = "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d"
          + " ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname";
      List<String> names = column("nspname", sql);
      same(names.containsAll(List.of("public", "eventful", "pg_catalog")), true);
      schema = Long.parseLong(column("oid", sql).get(names.indexOf("public")));
    });
    check("data types", () -> same(column("typname", """
        SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description
        FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid=t.typrelid
        LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c')
        AND (et.typcategory IS NULL OR et.typcategory <> 'C')""").containsAll(List.of("numeric", "timestamptz", "bool", "jsonb")), true));
    check("tables and views with their comments", () -> {
      String sql = """
          SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, pg_catalog.pg_get_partkeydef(c.oid) as partition_key
          FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass
          WHERE c.relnamespace=? AND c.relkind not in ('i','I','c') ORDER BY c.relname""";
      same(column("relname", sql, schema), List.of("patient", "patient_events", "patient_history"));
      same(column("relkind", sql, schema), List.of("r", "v", "v"));
      same(column("description", sql, schema).get(0), "Somebody who is cared for");
      table = Long.parseLong(column("oid", sql, schema).get(0));
    });
    check("sizes of tables", () -> same(ask("select c.oid,pg_catalog.pg_total_relation_size(c.oid) as total_rel_size,pg_catalog.pg_relation_size(c.oid) as rel_size"
        + " FROM pg_class c WHERE c.relnamespace=?", schema).isEmpty(), false));
    for (String of : List.of("c.oid=?", "c.relnamespace=?"))
      check("columns with types, comments, defaults: " + of, () -> {
        List<String> names = column("attname", """
            SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description,dep.objid
            FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid)
            LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum)
            LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid)
            LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid
            WHERE NOT a.attisdropped AND c.relkind not in ('i','I','c') AND\s""" + of + " ORDER BY a.attnum", of.equals("c.oid=?") ? table : schema);
        same(names.containsAll(List.of("aggregate_id", "weight", "admitted_at", "smoker")), true);
      });
    check("constraints", () -> same(ask("""
        SELECT c.conname, c.contype, c.conkey, t.relname as tabrelname,rt.relnamespace as refnamespace,d.description,
        case when c.contype='c' then "substring"(pg_get_constraintdef(c.oid), 7) else null end consrc_copy
        FROM pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid=c.conrelid LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid=c.confrelid
        LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_constraint'::regclass
        WHERE c.conrelid=? ORDER BY c.oid""", table).get(0).subList(0, 3), List.of("patient_pkey", "p", "{1}")));
    check("all columns of pg_constraint", () -> same(column("conname", """
        SELECT c.oid,c.*,t.relname as tabrelname,rt.relnamespace as refnamespace,d.description FROM pg_catalog.pg_constraint c
        INNER JOIN pg_catalog.pg_class t ON t.oid=c.conrelid LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid=c.confrelid
        LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_constraint'::regclass
        WHERE t.relnamespace=? ORDER BY c.oid""", schema), List.of("patient_pkey")));
    check("indexes with their sizes and scans", () -> same(column("relname", """
        SELECT i.*,i.indkey as keys,c.relname,c.relnamespace,c.relam,c.reltablespace,tc.relname as tabrelname,dsc.description,
        pg_catalog.pg_get_expr(i.indpred, i.indrelid) as pred_expr,pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) as expr,
        pg_catalog.pg_relation_size(i.indexrelid) as index_rel_size,pg_catalog.pg_stat_get_numscans(i.indexrelid) as index_num_scans
        FROM pg_catalog.pg_index i INNER JOIN pg_catalog.pg_class c ON c.oid=i.indexrelid INNER JOIN pg_catalog.pg_class tc ON tc.oid=i.indrelid
        LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid=dsc.objoid WHERE i.indrelid=? ORDER BY tabrelname, c.relname""", table),
        List.of("patient_pkey")));
    check("foreign keys to and from the table, inheritance, triggers, rules, policies: none", () -> {
      for (String sql : List.of(
          "SELECT c.oid FROM pg_catalog.pg_constraint c WHERE c.confrelid=?",
          "SELECT i.*,c.relnamespace FROM pg_catalog.pg_inherits i,pg_catalog.pg_class c WHERE i.inhrelid=? AND c.oid=i.inhparent ORDER BY i.inhseqno",
          "SELECT x.oid,x.*,p.pronamespace as func_schema_id,d.description FROM pg_catalog.pg_trigger x LEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid=x.tgfoid"
              + " LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=x.oid AND d.objsubid=0 WHERE x.tgrelid=? AND NOT x.tgisinternal",
          "SELECT r.oid, r.* FROM pg_catalog.pg_rewrite r WHERE r.ev_class=? AND r.rulename <> '_RETURN'::name"))
        same(ask(sql, table), List.of());
    });
    check("functions, sequences, extensions, access methods, languages, encodings, tablespaces, wrappers, servers, event triggers", () -> {
      ask("SELECT p.oid,p.*,l.lanname,pg_catalog.pg_get_expr(p.proargdefaults, 0) as arg_defaults,d.description FROM pg_catalog.pg_proc p"
          + " LEFT OUTER JOIN pg_catalog.pg_language l ON l.oid = p.prolang LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=p.oid WHERE p.pronamespace=? ORDER BY p.proname", schema);
      for (String sql : List.of(
          "SELECT e.oid,e.extname,n.nspname as schema_name,e.extversion FROM pg_catalog.pg_extension e JOIN pg_namespace n on n.oid = e.extnamespace ORDER BY e.oid",
          "SELECT name,default_version,installed_version,comment FROM pg_catalog.pg_available_extensions ORDER BY name",
          "SELECT am.oid,am.* FROM pg_catalog.pg_am am ORDER BY am.oid",
          "SELECT l.oid,l.* FROM pg_catalog.pg_language l ORDER BY l.oid",
          "SELECT c.contoencoding as encid,pg_catalog.pg_encoding_to_char(c.contoencoding) as encname FROM pg_catalog.pg_conversion c GROUP BY c.contoencoding ORDER BY 2",
          "SELECT t.oid,t.*,pg_tablespace_location(t.oid) loc FROM pg_catalog.pg_tablespace t ORDER BY t.oid",
          "SELECT c.oid,c.*,d.description FROM pg_catalog.pg_collation c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid ORDER BY c.oid LIMIT 100"))
        same(ask(sql).isEmpty(), false);
      for (String sql : List.of(
          "SELECT l.oid,l.*,p.pronamespace as handler_schema_id FROM pg_catalog.pg_foreign_data_wrapper l LEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid=l.fdwhandler ORDER BY l.fdwname",
          "SELECT l.oid,l.* FROM pg_catalog.pg_foreign_server l ORDER BY l.srvname",
          "SELECT e.oid,e.*,d.description FROM pg_catalog.pg_event_trigger e LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=e.oid",
          "SELECT c.oid,c.* FROM pg_catalog.pg_class c WHERE c.relkind = 'S' AND c.relnamespace = 2200"))
        same(ask(sql), List.of());
    });
    check("roles and their members", () -> {
      same(ask("SELECT a.oid,a.*,pd.description FROM pg_catalog.pg_roles a left join pg_catalog.pg_shdescription pd on a.oid = pd.objoid ORDER BY a.rolname").isEmpty(), false);
      ask("SELECT * FROM pg_catalog.pg_auth_members");
      ask("SELECT setting FROM pg_catalog.pg_settings WHERE name='max_index_keys'");
    });
    check("privileges of the table", () -> same(ask("SELECT * FROM information_schema.table_privileges WHERE table_schema=? AND table_name=?", "public", "patient").isEmpty(), false));
    check("the search for objects and columns by name", () -> {
      same(column("relname", "SELECT pc.oid,pc.relname,pc.relnamespace,pc.relkind FROM pg_catalog.pg_class pc WHERE pc.relkind in('r','v') AND pc.relname ILIKE ?"
          + " AND pc.relnamespace IN (?) ORDER BY pc.relname LIMIT 100", "pat%", schema).size(), 3);
      same(column("attname", "SELECT DISTINCT x.attname,x.attrelid,x.atttypid,x.attnum FROM pg_catalog.pg_attribute x, pg_catalog.pg_class c WHERE c.oid=x.attrelid"
          + " AND x.attname ILIKE ? AND c.relnamespace IN (?) ORDER BY x.attname", "smok%", schema).size(), 2);
    });
  }

  private static void source() {
    check("the source of a view", () -> {
      long view = Long.parseLong(ask("SELECT 'public.patient_history'::regclass::oid::int8").get(0).get(0));
      same(ask("SELECT pg_catalog.pg_get_viewdef(?, true)", view).get(0).get(0).contains("SELECT"), true);
    });
    check("the definitions of the key, of the index, of the policies", () -> {
      same(ask("SELECT pg_catalog.pg_get_constraintdef(c.oid) FROM pg_catalog.pg_constraint c WHERE c.conrelid = ?", table), List.of(List.of("PRIMARY KEY (aggregate_id)")));
      same(ask("SELECT pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index i WHERE i.indrelid = ?", table).get(0).get(0).startsWith("CREATE UNIQUE INDEX"), true);
      ask("SELECT * FROM pg_catalog.pg_policies WHERE schemaname=? AND tablename=?", "public", "patient");
    });
    check("dependencies", () -> ask("SELECT DISTINCT dep.deptype, dep.classid, dep.objid, cl.relkind, attr.attname,pg_get_expr(ad.adbin, ad.adrelid) adefval"
        + " FROM pg_depend dep LEFT JOIN pg_class cl ON dep.objid=cl.oid LEFT JOIN pg_attribute attr ON dep.objid=attr.attrelid AND dep.objsubid=attr.attnum"
        + " LEFT JOIN pg_attrdef ad ON ad.oid = dep.objid WHERE dep.refobjid=?", table));
  }

  private static void grid() {
    check("the data grid: rows with their types, in portions", () -> {
      connection.setAutoCommit(false);
      try (Statement statement = connection.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
        statement.setFetchSize(200);
        statement.setMaxRows(200);
        ResultSet result = statement.executeQuery("SELECT x.* FROM public.patient x WHERE x.aggregate_id = 'dbeaver-1' ORDER BY x.aggregate_id");
        ResultSetMetaData metadata = result.getMetaData();
        List<Integer> types = new ArrayList<>();
        for (int i = 8; i <= 12; i++) types.add(metadata.getColumnType(i));
        same(types, List.of(Types.DATE, Types.NUMERIC, Types.TIMESTAMP, Types.BIT, Types.INTEGER));
        same(metadata.getColumnTypeName(10), "timestamptz");
        result.next();
        same(List.of(result.getObject("birthdate", LocalDate.class), result.getBigDecimal("weight"), result.getObject("smoker"), result.getObject("visits")),
            List.of(LocalDate.of(1815, 12, 10), new BigDecimal("61.500"), true, 3));
      } finally {
        connection.rollback();
        connection.setAutoCommit(true);
      }
    });
    check("row count, a filter, an order of the grid", () -> {
      same(ask("SELECT count(*) FROM public.patient x WHERE x.aggregate_id = 'dbeaver-1'"), List.of(List.of("1")));
      same(ask("SELECT x.last_name FROM public.patient x WHERE x.smoker = true AND last_name ILIKE '%LOVE%' AND aggregate_id = 'dbeaver-1' ORDER BY x.visits DESC").size(), 1);
    });
    check("history, events and the past in the grid", () -> {
      same(ask("SELECT x.last_name FROM public.patient_history x WHERE aggregate_id = 'dbeaver-1' ORDER BY x.version").size(), 2);
      same(ask("SELECT x.payload FROM public.patient_events x WHERE aggregate_id = 'dbeaver-1' ORDER BY x.version").get(1), List.of("{\"last_name\": \"Lovelace\"}"));
      same(ask("SELECT last_name FROM patient AS OF VERSION 1 WHERE aggregate_id = 'dbeaver-1'"), List.of(List.of("King")));
    });
    check("an edited cell is refused 0A000 with the statement to write", () -> {
      SQLException error = fails("0A000", () -> ask("UPDATE public.patient SET last_name=? WHERE aggregate_id=?", "Byron", "dbeaver-1"));
      same(((org.postgresql.util.PSQLException) error).getServerErrorMessage().getHint().contains("INSERT INTO"), true);
      fails("0A000", () -> ask("DELETE FROM public.patient WHERE aggregate_id=?", "dbeaver-1"));
    });
    check("an event from the SQL editor", () -> same(
        ask("INSERT INTO patient EVENTS patient_updated (aggregate_id, visits) VALUES ('dbeaver-1', 4) RETURNING version"), List.of(List.of("3"))));
    check("a plan", () -> same(column("QUERY PLAN", "EXPLAIN (FORMAT XML, ANALYSE) SELECT x.* FROM public.patient x").get(0).contains("<Plan>"), true));
    check("sessions and locks", () -> {
      same(ask("SELECT sa.* FROM pg_catalog.pg_stat_activity sa").isEmpty(), false);
      ask("select l.pid, l.mode, l.granted, d.datname, c.relname from pg_catalog.pg_locks l left join pg_catalog.pg_database d on l.database = d.oid"
          + " left join pg_catalog.pg_class c on l.relation = c.oid");
    });
  }

  public static void main(String[] args) throws Exception {
    check("append what the grid shows", DBeaver::seed);
    connecting();
    tree();
    source();
    grid();
    connection.close();
    finish("DBeaver's statements over pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION);
  }
}
