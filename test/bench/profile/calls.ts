/** Turns the inspector's samples into a tree of calls, and that into self times. */
import { frameOf, groupOf, type Frame } from './groups.js';
import type { CpuProfile } from './messages.js';

/** A function and what it called, times in µs. */
export interface Call extends Frame {
  readonly group: string;
  self: number;
  total: number;
  readonly children: Map<string, Call>;
}

export interface SelfTime extends Frame {
  readonly group: string;
  readonly self: number;
}

function newCall(frame: Frame, caller: Call | null): Call {
  const group = groupOf(frame, caller?.name === '(root)' ? null : (caller?.group ?? null));
  return { ...frame, group, self: 0, total: 0, children: new Map() };
}

/**
 * Calls of the same function from the same caller become one.
 * @param root the URL of the compiled project, with a slash at its end
 */
export function callTree({ nodes, samples = [], timeDeltas = [] }: CpuProfile, root: string): Call {
  const top = newCall({ name: '(root)', place: '' }, null);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const calls = new Map<number, Call>();
  const first = nodes[0];
  const open = first === undefined ? [] : [{ id: first.id, call: top }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    calls.set(next.id, next.call);
    for (const id of byId.get(next.id)?.children ?? []) {
      const { functionName, url } = byId.get(id)?.callFrame ?? { functionName: '?', url: '' };
      const frame = frameOf(functionName, url, next.call.place, root);
      const key = `${frame.name} ${frame.place}`;
      const call = next.call.children.get(key) ?? newCall(frame, next.call);
      next.call.children.set(key, call);
      open.push({ id, call });
    }
  }
  samples.forEach((id, i) => {
    const call = calls.get(id);
    // A sample lasts until the next one; V8 may give a delta below zero when a clock was read late.
    if (call !== undefined) call.self += Math.max(0, timeDeltas[i + 1] ?? 0);
  });
  addUp(top);
  return top;
}

function addUp(call: Call): number {
  call.total = call.self;
  for (const child of call.children.values()) call.total += addUp(child);
  return call.total;
}

/** Self time of every function, wherever it was called from; most first. */
export function selfTimes(trees: readonly Call[]): SelfTime[] {
  const found = new Map<string, SelfTime>();
  const open = [...trees];
  for (let call = open.pop(); call !== undefined; call = open.pop()) {
    open.push(...call.children.values());
    if (call.self === 0) continue;
    const { name, place, group } = call;
    const key = `${name} ${place} ${group}`;
    found.set(key, { name, place, group, self: call.self + (found.get(key)?.self ?? 0) });
  }
  return [...found.values()].sort((a, b) => b.self - a.self);
}

export interface GroupTime {
  readonly group: string;
  readonly self: number;
  /** Its functions, most first. */
  readonly functions: readonly SelfTime[];
}

export function groupTimes(times: readonly SelfTime[]): GroupTime[] {
  const groups = new Map<string, SelfTime[]>();
  for (const time of times) groups.set(time.group, [...(groups.get(time.group) ?? []), time]);
  return [...groups]
    .map(([group, functions]) => ({
      group,
      functions,
      self: functions.reduce((sum, { self }) => sum + self, 0),
    }))
    .sort((a, b) => b.self - a.self);
}
