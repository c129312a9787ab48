import { defineConfig } from 'vitest/config'

// One project per suite of DESIGN §15; unit tests sit beside the code they test.
const suite = (name: string, include: string[], extra: object = {}) => ({ test: { name, include, ...extra } })
const slow = { testTimeout: 120_000, hookTimeout: 60_000 }

export default defineConfig({
  test: {
    projects: [
      suite('unit', ['{protocol,storage,node,gateway,client,cli}/**/*.test.ts'], { testTimeout: 20_000 }),
      suite('tidy', ['test/tidy/**/*.test.ts'], { testTimeout: 20_000 }),
      suite('sim', ['test/sim/**/*.test.ts'], slow),
      suite('integration', ['test/integration/**/*.test.ts'], { ...slow, fileParallelism: false }),
    ],
  },
})
