/** Prints results as tables, and progress as a bar or as lines. */
import { SingleBar } from 'cli-progress';

export type Row = Readonly<Record<string, string | null>>;

const WIDEST = 40;

export function print(line = ''): void {
  process.stdout.write(line + '\n');
}

function cell(value: string | null | undefined): string {
  const text = value ?? '';
  return text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text;
}

/** A table as psql draws it; columns of numbers are set to the right. */
export function printTable(rows: readonly Row[]): void {
  const columns = Object.keys(rows[0] ?? {});
  const widths = columns.map((name) => Math.max(name.length, ...rows.map((row) => cell(row[name]).length)));
  const numeric = columns.map((name) => rows.every((row) => /^(-?[\d.]+)?$/.test(row[name] ?? '')));
  const line = (values: readonly string[], right: readonly boolean[]): string =>
    values
      .map((value, i) => (right[i] === true ? value.padStart(widths[i] ?? 0) : value.padEnd(widths[i] ?? 0)))
      .join(' │ ')
      .trimEnd();
  print('  ' + line(columns, []));
  print('  ' + widths.map((width) => '─'.repeat(width)).join('─┼─'));
  for (const row of rows)
    print(
      '  ' +
        line(
          columns.map((name) => cell(row[name])),
          numeric,
        ),
    );
  print(`  (${rows.length} ${rows.length === 1 ? 'row' : 'rows'})`);
}

export interface Progress {
  update(done: number): void;
  end(): void;
}

/** A bar on a terminal; elsewhere a line for every fifth of the way. */
export function startProgress(total: number): Progress {
  if (!process.stdout.isTTY) {
    let told = 0;
    return {
      update(done) {
        const fifth = Math.floor((5 * done) / total);
        if (fifth > told) print(`  ${done.toLocaleString('en')} of ${total.toLocaleString('en')} events`);
        told = fifth;
      },
      end: () => undefined,
    };
  }
  const bar = new SingleBar({
    format: '  {bar} {percentage} % │ {value}/{total} events │ {eta} s left',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    stream: process.stdout,
  });
  bar.start(total, 0);
  return { update: (done) => bar.update(done), end: () => bar.stop() };
}
