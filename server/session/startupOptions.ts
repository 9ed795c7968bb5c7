/**
 * The settings in a startup packet's `options`, a command line as libpq writes it: `-c name=value`, `-cname=value` or
 * `--name=value`, words parted by spaces, a backslash before a space or backslash that belongs to a word.
 */
export function startupOptions(options: string): [name: string, value: string][] {
  const words = (options.match(/(?:\\[^]|[^\s\\])+/g) ?? []).map((word) => word.replaceAll(/\\([^])/g, '$1'));
  const found: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    let word = words[i] ?? '';
    if (word === '-c') word = words[++i] ?? '';
    else if (word.startsWith('-c')) word = word.slice(2);
    else if (word.startsWith('--')) word = word.slice(2);
    else continue;
    const equals = word.indexOf('=');
    if (equals > 0)
      found.push([word.slice(0, equals).replaceAll('-', '_').toLowerCase(), word.slice(equals + 1)]);
  }
  return found;
}
