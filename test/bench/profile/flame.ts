/** A flame graph as one SVG without scripts: time from left to right by name, callers below what they call. */
import { kindOf, type Kind } from './groups.js';
import type { Call } from './calls.js';

const WIDTH = 1200;
const ROW = 16;
const TOP = 64;
const BOTTOM = 10;
const CHARACTER = 6.1;
/** What is narrower is drawn together with its small neighbours. */
const NARROWEST = 2;

const COLORS: Readonly<Record<Kind, string>> = {
  ours: '#f2a65a',
  package: '#e3c567',
  node: '#8fb8de',
  native: '#9ac68f',
  idle: '#eceef1',
  gc: '#d1495b',
  program: '#b9a7d1',
};
const LEGEND: readonly (readonly [Kind, string])[] = [
  ['ours', 'EventfulDB'],
  ['package', 'packages'],
  ['node', 'Node internals'],
  ['native', 'C++ called by JavaScript'],
  ['program', '(program): C++ else'],
  ['gc', '(garbage collector)'],
  ['idle', '(idle)'],
];

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

interface Box {
  readonly call: Pick<Call, 'name' | 'place' | 'total' | 'self'>;
  readonly x: number;
  readonly width: number;
  readonly depth: number;
  /** How many small ones this stands for; 0 for a call of its own. */
  readonly merged: number;
}

function layOut(root: Call): Box[] {
  const scale = WIDTH / Math.max(1, root.total);
  const boxes: Box[] = [];
  const place = (call: Call, start: number, depth: number): void => {
    boxes.push({ call, x: start, width: call.total * scale, depth, merged: 0 });
    let x = start;
    const small: Call[] = [];
    for (const child of [...call.children.values()].sort((a, b) => a.name.localeCompare(b.name))) {
      const width = child.total * scale;
      if (width < NARROWEST) {
        if (child.total > 0) small.push(child);
        continue;
      }
      place(child, x, depth + 1);
      x += width;
    }
    const total = small.reduce((sum, child) => sum + child.total, 0);
    if (total * scale < NARROWEST) return;
    const rest = { name: '…', place: '', total, self: total };
    boxes.push({ call: rest, x, width: total * scale, depth: depth + 1, merged: small.length });
  };
  place(root, 0, 0);
  return boxes;
}

function draw({ call, x, width, depth, merged }: Box, height: number, total: number): string {
  const y = height - BOTTOM - (depth + 1) * ROW;
  const share = ((call.total / Math.max(1, total)) * 100).toFixed(1);
  const where = call.place === '' ? '' : ` ${call.place}`;
  const title =
    merged > 0 ? `${merged} small ones: ${share} %` : `${call.name}${where}: ${share} %, ${ms(call.total)}`;
  const letters = Math.floor((width - 4) / CHARACTER);
  const label = call.name.length > letters ? `${call.name.slice(0, letters - 1)}…` : call.name;
  const text =
    letters < 3 || merged > 0 ? '' : `<text x="${(x + 2).toFixed(1)}" y="${y + 12}">${escape(label)}</text>`;
  const color = merged > 0 ? '#dddddd' : COLORS[kindOf(call)];
  return `<g><title>${escape(title)}</title><rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(0.5, width - 0.5).toFixed(1)}" height="${ROW - 1}" fill="${color}"/>${text}</g>`;
}

function ms(microseconds: number): string {
  return `${(microseconds / 1000).toFixed(1)} ms`;
}

/** @param heading one line above it, such as the workload and the thread */
export function flameGraph(root: Call, heading: string): string {
  const boxes = layOut(root);
  const height = TOP + BOTTOM + (1 + boxes.reduce((most, { depth }) => Math.max(most, depth), 0)) * ROW;
  const legend = LEGEND.map(
    ([kind, text], i) =>
      `<rect x="${8 + i * 168}" y="34" width="12" height="12" fill="${COLORS[kind]}"/><text x="${24 + i * 168}" y="44">${escape(text)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="ui-monospace, monospace" font-size="10" fill="#24292f" role="img">
<title>${escape(heading)}</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="8" y="22" font-size="14" font-family="system-ui, sans-serif">${escape(heading)}</text>
${legend.join('')}
${boxes.map((box) => draw(box, height, root.total)).join('\n')}
</svg>
`;
}
