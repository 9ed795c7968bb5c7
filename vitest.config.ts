import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{engine,sql,server,readmodel,cli}/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/clusterTemplate.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // One more than the usual two cores: most tests wait for processes and disks some of their time.
    maxWorkers: 3,
  },
});
