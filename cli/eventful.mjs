#!/usr/bin/env -S node --max-semi-space-size=32
// The bin. Plain JavaScript, so that it runs from a fresh clone, where it first compiles the rest, and so that an old
// Node gets a sentence instead of a syntax error. The flag is that of server/nodeFlags.ts, for a server in the foreground.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 12)) {
  process.stderr.write(`eventful: Node 20.12 or newer is needed, this is ${process.versions.node}\n`);
  process.exit(1);
}

const root = fileURLToPath(new URL('../', import.meta.url));
const main = new URL('../dist/cli/main.js', import.meta.url);

/** Compiles a clone. The compiler's own messages go to stderr: stdout may be captured for a token. */
function build() {
  const compiler = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
  if (!existsSync(compiler)) {
    process.stderr.write(
      'eventful: not built, and there is no TypeScript compiler\nhint: Run npm install first.\n',
    );
    process.exit(1);
  }
  process.stderr.write('building once…\n');
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) {
    process.stderr.write('eventful: the build failed\n');
    process.exit(1);
  }
}

if (!existsSync(fileURLToPath(main))) build();
const { run } = await import(main.href);
process.exitCode = await run(process.argv.slice(2));
