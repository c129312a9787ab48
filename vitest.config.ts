import { defineConfig } from 'vitest/config'

// One project per suite of DESIGN §15; unit tests sit beside the code they test. What takes minutes is named
// `*.heavy.test.ts`, and runs in CI only, as do integration tests that are not `*.short.test.ts`.
const heavy = '**/*.heavy.test.ts'
const suite = (name: string, include: string[], extra: object = {}) => ({ test: { name, include, ...extra } })
const light = { testTimeout: 20_000, exclude: [heavy] }
const slow = { testTimeout: 120_000, hookTimeout: 60_000, exclude: [heavy] }
const processes = { ...slow, fileParallelism: false }

const short = 'test/integration/**/*.short.test.ts'

export default defineConfig({
  test: {
    projects: [
      suite('unit', ['{protocol,storage,node,client,lab,cli,test/{chaos,bench,package}}/**/*.test.ts'], light),
      suite('unit-gateway', ['gateway/**/*.test.ts'], { ...light, setupFiles: ['test/check-answers.ts'] }),
      suite('tidy', ['test/tidy/**/*.test.ts', 'test/*.test.ts'], light),
      suite('sim', ['test/sim/**/*.test.ts'], slow),
      suite('integration-short', [short], processes),
      suite('integration', ['test/integration/**/*.test.ts'], { ...processes, exclude: [heavy, short] }),
      suite('netns', ['test/netns/**/*.test.ts'], processes),
      suite('docker', ['test/docker/**/*.test.ts'], processes),
      suite('deploy', ['test/deploy/**/*.test.ts'], processes),
      suite('browser', ['test/browser/**/*.test.ts'], processes),
      suite('heavy', [`{protocol,storage,node,gateway,client,lab,cli,test}/${heavy}`], {
        ...processes,
        testTimeout: 900_000,
        exclude: [],
      }),
    ],
  },
})
