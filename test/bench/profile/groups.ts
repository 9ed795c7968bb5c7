/** Which part of the work a function belongs to, by where it is written. */

export interface Frame {
  /** As V8 names it; '(anonymous)' for one without a name. */
  readonly name: string;
  /** `engine/commit/loop.js`, `rocksdb-native/index.js`, `node:net`, or '' for one that V8 or C++ brings. */
  readonly place: string;
}

/** How the flame graph tells them apart. */
export type Kind = 'ours' | 'package' | 'node' | 'native' | 'idle' | 'gc' | 'program';

const META: ReadonlyMap<string, string> = new Map([
  ['(idle)', 'idle'],
  ['(garbage collector)', 'garbage collection'],
  ['(program)', 'native code outside JavaScript (program)'],
]);

/** The calls of Node's C++ that end in a system call on a socket. */
const SOCKET_CALL = /^(write(v|Buffer|Utf8String|Latin1String|AsciiString)?|readStart|readStop|shutdown)$/;

/** The first that fits names the group. */
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/^rocksdb-native|^engine\/store\//, 'RocksDB (calls from JavaScript)'],
  [/^engine\/log\/|^node:(internal\/)?fs/, 'log and disk sync (calls from JavaScript)'],
  [/^@noble\/hashes|^engine\/crypto\/hash|^engine\/(tree|storeTree)|^node:internal\/crypto/, 'hashing'],
  [/^sodium-native|^engine\/crypto\//, 'sealing'],
  [/^libpg-query|^sql\//, 'parsing and analysing SQL'],
  [/^engine\/commit\//, 'commit loop'],
  [/^engine\/codec\//, 'encoding records'],
  [/^engine\/verify\//, 'verify'],
  [/^engine\/proofs\//, 'proofs and checkpoints'],
  [/^engine\//, 'the rest of the engine'],
  [/^server\/protocol\//, 'wire protocol'],
  [/^server\/relay\//, 'relay to the read model'],
  [/^server\/threads\//, 'crossing threads'],
  [/^server\//, 'session'],
  [/^readmodel\/|^pg(-|$|\/)/, 'projector'],
  [/^node:(net|internal\/(streams?|stream_base_commons|net))|^node:(_?stream)/, 'sockets'],
  [/^node:(internal\/(process|timers|async_hooks|event_target|util)|events|timers)/, "Node's event loop"],
  [/^node:/, 'the rest of Node'],
  [/^test\//, 'the suite itself'],
];

/** Where a URL of a call frame lies: below the compiled project, in a package, or in Node. */
export function placeOf(url: string, root: string): string {
  if (url === '' || url.startsWith('node:')) return url;
  const packages = url.lastIndexOf('/node_modules/');
  if (packages >= 0) return url.slice(packages + '/node_modules/'.length);
  return url.startsWith(root) ? url.slice(root.length) : url;
}

export function kindOf({ name, place }: Frame): Kind {
  if (name === '(idle)') return 'idle';
  if (name === '(garbage collector)') return 'gc';
  if (name === '(program)') return 'program';
  if (place === '') return 'native';
  if (place.startsWith('node:')) return 'node';
  return /^(engine|sql|server|readmodel|test)\//.test(place) ? 'ours' : 'package';
}

/** What V8 shows for functions of native packages: they share one entry in Node, so any of their names may stand there. */
const NATIVE_PACKAGE_CALL = 'native function';
const NATIVE_PACKAGES = /^(sodium-native|rocksdb-native)\//;

/** @param callerPlace where the function was called from */
export function frameOf(functionName: string, url: string, callerPlace: string, root: string): Frame {
  const place = placeOf(url, root);
  const name = functionName || '(anonymous)';
  if (place !== '' || META.has(name)) return { name, place };
  const reliable = !NATIVE_PACKAGES.test(callerPlace) && !/^engine\/(crypto|store)\//.test(callerPlace);
  return { name: reliable ? name : NATIVE_PACKAGE_CALL, place };
}

/** @param caller the group of the calling function: what C++ does for it counts as its own work */
export function groupOf({ name, place }: Frame, caller: string | null): string {
  const meta = META.get(name);
  if (meta !== undefined) return meta;
  if (place === '') return SOCKET_CALL.test(name) ? 'sockets' : (caller ?? 'native code without a caller');
  if (place.startsWith('sodium-native/') && name.includes('hash')) return 'hashing';
  return PLACES.find(([pattern]) => pattern.test(place))?.[1] ?? 'other packages';
}
