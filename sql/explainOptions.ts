import type { ExplainStmt } from 'libpg-query';
import { unwrap } from './ast.js';
import type { ExplainOptions } from './statement.js';

/** The options of an EXPLAIN that PostgreSQL's parser has read; unknown ones are left to PostgreSQL. */
export function explainOptions(explain: ExplainStmt): ExplainOptions {
  const given = optionsOf(explain);
  const format = given.findLast(({ name }) => name === 'format')?.value.toLowerCase();
  const flag = (flagName: string): boolean | undefined => {
    const value = given.findLast(({ name }) => name === flagName)?.value;
    return value === undefined ? undefined : isOn(value);
  };
  const analyze = flag('analyze') ?? false;
  return {
    analyze,
    timing: flag('timing') ?? analyze,
    summary: flag('summary') ?? analyze,
    format: format === 'json' || format === 'yaml' || format === 'xml' ? format : 'text',
  };
}

export interface ExplainOption {
  readonly name: string;
  readonly value: string;
  readonly location: number | undefined;
}

export function optionsOf(explain: ExplainStmt): ExplainOption[] {
  return (explain.options ?? []).map((node) => {
    const option = unwrap(node, 'DefElem');
    const value = option?.arg;
    const text =
      unwrap(value, 'String')?.sval ??
      (value === undefined
        ? 'on'
        : String(unwrap(value, 'Integer')?.ival ?? unwrap(value, 'Boolean')?.boolval ?? 0));
    return { name: (option?.defname ?? '').toLowerCase(), value: text, location: option?.location };
  });
}

function isOn(value: string): boolean {
  return /^(on|true|1)$/i.test(value);
}
