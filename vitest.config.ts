import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{engine,sql,server,readmodel,cli}/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
