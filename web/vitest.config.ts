import { defineConfig } from 'vitest/config';

// Pure logic only: what needs a browser is tested in one, in `e2e`.
export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node'] } },
  test: { include: ['sdk/test/**/*.test.ts', 'app/test/**/*.test.ts'], environment: 'node' },
});
