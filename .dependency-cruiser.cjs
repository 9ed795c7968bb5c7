/** The arrows of ARCHITECTURE.md: who may import whom. */
const room = (name) => `^${name}/`;
const forbid = (from, to, comment) => ({
  name: `${from}-not-${to.replaceAll('|', '-')}`,
  severity: 'error',
  comment,
  from: { path: room(from) },
  to: { path: `^(${to})/` },
});
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    forbid(
      'engine',
      'server|sql|readmodel|cli|test|examples',
      'the engine runs without anything else of ours',
    ),
    forbid('sql', 'server|readmodel|cli|test|examples', 'sql runs without a socket'),
    forbid('readmodel', 'server|sql|cli|test|examples', 'the read model only follows the engine'),
    forbid('server', 'cli|test|examples', 'the server does not know who started it'),
    forbid('cli', 'test|examples', 'shipping code never imports tests'),
    {
      name: 'verifier-is-free',
      severity: 'error',
      comment: 'eventfuldb/verify runs in a browser: no dependency on the server or on Node',
      from: { path: '^engine/proofs/(verifier|merkle)\\.ts$' },
      to: { pathNot: ['^engine/proofs/', '@noble/hashes'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    // The clients under test bring packages of their own, installed only when they run.
    exclude: { path: '^(dist|test/clients)/' },
  },
};
