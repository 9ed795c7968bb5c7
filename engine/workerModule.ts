import { existsSync } from 'node:fs';

/**
 * The module that a worker thread runs: compiled, also where this code itself runs from source, as in tests; then it is
 * that of the build.
 * @param from `import.meta.url` of a module in the same folder
 * @param path of the compiled module from the root, e.g. `engine/verify/scanWorker.js`
 */
export function workerModule(from: string, path: string): URL {
  const steps = path.split('/');
  const beside = new URL(steps.at(-1) ?? '', from);
  if (existsSync(beside)) return beside;
  return new URL(`${'../'.repeat(steps.length - 1)}dist/${path}`, from);
}
