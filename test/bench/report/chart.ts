/** One SVG per workload: a group of bars per row, scaled within the group, since a row may be a thousand times another. */
import { median, type Row, type Section } from '../measure.js';
import { figure } from './format.js';

const WIDTH = 760;
const LABEL_WIDTH = 290;
const VALUE_WIDTH = 150;
const BAR = 16;
const GAP = 5;
const GROUP_GAP = 20;
const TOP = 58;
const COLORS = { ours: '#1f6f8b', theirs: '#b8bec7' };
const INK = '#24292f';
const QUIET = '#6e7781';

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function groupHeight(row: Row): number {
  return 20 + row.series.length * (BAR + GAP) + GROUP_GAP;
}

/** The bar is the median; the thin line over it runs from the least to the most of the rounds. */
function bars(row: Row, top: number): string {
  const room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const largest = Math.max(...row.series.flatMap(({ values }) => values.filter(Number.isFinite)), 1e-9);
  const width = (value: number): number => Math.max(0, (value / largest) * room) || 0;
  const better = row.better === 'higher' ? 'more is better' : 'less is better';
  const heading = `<text x="12" y="${top + 12}" font-weight="600">${escape(row.label)} <tspan fill="${QUIET}" font-weight="400">${escape(row.unit)}, ${better}</tspan></text>`;
  const drawn = row.series.map(({ side, values }, i) => {
    const y = top + 20 + i * (BAR + GAP);
    const middle = y + BAR / 2;
    const value = median(values);
    const color = side.startsWith('EventfulDB') ? COLORS.ours : COLORS.theirs;
    const [low, high] = [LABEL_WIDTH + width(Math.min(...values)), LABEL_WIDTH + width(Math.max(...values))];
    return `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escape(side)}</text>
<rect x="${LABEL_WIDTH}" y="${y}" width="${width(value).toFixed(1)}" height="${BAR}" rx="2" fill="${color}"/>
<line x1="${low.toFixed(1)}" x2="${high.toFixed(1)}" y1="${middle}" y2="${middle}" stroke="${INK}"/>
<text x="${(Math.max(high, LABEL_WIDTH) + 8).toFixed(1)}" y="${middle + 4}">${figure(value)}</text>`;
  });
  return [heading, ...drawn].join('\n');
}

export function chart(section: Section): string {
  let y = TOP;
  const groups = section.rows.map((row) => {
    const drawn = bars(row, y);
    y += groupHeight(row);
    return drawn;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}" role="img">
<title>${escape(`${section.id}: ${section.title}`)}</title>
<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="600">${escape(section.title)}</text>
<text x="12" y="42" fill="${QUIET}">bars: medians, scaled within each group; thin lines: least to most of all rounds</text>
${groups.join('\n')}
</svg>
`;
}
