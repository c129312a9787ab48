// Goal: the dashboard and the alerts ask for what peers say. Method: the Prometheus of the system scrapes two real peers
// under load, takes our rules, and answers every query that the dashboard makes; an empty answer is a query for nothing.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { freePorts } from '#cli/ports'
import { eventually, type ProcessPeer, startMesh } from '#test/integration/process-peer'

const monitoring = 'deploy/monitoring'
/** Where the search for a free port begins: below those that the system hands out by itself. */
const portFirst = 29_090
const lacking = ['prometheus', 'promtool'].filter((program) => spawnSync(program, ['--version']).status !== 0)
if (lacking.length > 0) console.warn(`monitoring: skipped. It needs ${lacking.join(' and ')}`)

interface Panel {
  readonly title: string
  readonly type: string
  readonly targets?: readonly { readonly expr: string }[]
}
interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[]
}

const dashboard = JSON.parse(await readFile(`${monitoring}/grafana/dashboards/grapevine.json`, 'utf8')) as {
  readonly panels: readonly Panel[]
}
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const))
const { groups } = parse(await readFile(`${monitoring}/alerts.yaml`, 'utf8')) as Rules
const alerts = groups.flatMap(({ rules }) => rules).map(({ alert, expr }) => [alert, expr] as const)

describe.skipIf(lacking.length > 0)('monitoring', () => {
  const started = new AsyncDisposableStack()
  let url = ''

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'grapevine-monitoring-'))
    started.defer(() => rm(directory, { recursive: true, force: true }))
    const peers = await startMesh(directory, ['oak', 'elm'])
    for (const peer of peers) started.use(peer)
    const [port = 0] = await freePorts(portFirst, 1)
    url = `http://127.0.0.1:${port}`
    const prometheus = await startPrometheus(directory, port, peers)
    started.defer(() => ended(prometheus))
    await eventually('every peer was scraped twice under load', async () => {
      await use(peers)
      return (await answerTo('min(count_over_time(grapevine_node_info[1m]))')) >= 3
    })
  })

  afterAll(() => started.disposeAsync())

  test('the configuration and the rules are what Prometheus takes', () => {
    const checked = spawnSync('promtool', ['check', 'config', `${monitoring}/prometheus.yaml`], { encoding: 'utf8' })
    expect(checked.stderr + checked.stdout).toContain('SUCCESS: 1 rule files found')
    expect(checked.status).toBe(0)
  })

  test('every panel has a title, a source and a question', () => {
    const panels = dashboard.panels.filter(({ type }) => type !== 'row')
    expect(panels.length).toBeGreaterThan(20)
    for (const { title, targets } of panels) expect([title, targets?.length]).not.toContain(undefined)
  })

  test.each(queries)('%s: %s', async (_, expr) => {
    const asked = expr.replaceAll('$peer', '.*').replaceAll('$__rate_interval', '30s')
    expect(await seriesFor(asked)).not.toEqual([])
  })

  // An alert that is quiet has no answer, so its condition is asked without the bound.
  test.each(alerts)('%s: %s', async (_, expr) => {
    expect(await seriesFor(withoutBound(expr))).not.toEqual([])
  })

  test('no alert fires at a mesh that is well', async () => {
    const { alerts: raised } = (await ask('/api/v1/alerts')) as {
      readonly alerts: readonly { readonly state: string }[]
    }
    expect(raised.filter(({ state }) => state === 'firing')).toEqual([])
  })

  async function seriesFor(expr: string): Promise<readonly unknown[]> {
    const { result } = (await ask(`/api/v1/query?query=${encodeURIComponent(expr)}`)) as { readonly result: unknown[] }
    return result
  }

  /** The one number that it answers; 0 if there is none yet. */
  async function answerTo(expr: string): Promise<number> {
    const [series] = (await seriesFor(expr)) as readonly { readonly value: readonly [number, string] }[]
    return Number(series?.value[1] ?? 0)
  }

  async function ask(path: string): Promise<unknown> {
    const answer = (await (await fetch(`${url}${path}`)).json()) as { status: string; data: unknown; error?: string }
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error ?? ''}`)
    return answer.data
  }
})

/** `a > 0 and …` → `a`: whether there is anything that the bound is held against. */
const withoutBound = (expr: string): string => expr.replace(/ (==|>|<) [\d.]+( and .*)?$/, '')

/** Something of everything: publishes, reads, a problem, somebody who waits for records. */
async function use(peers: readonly ProcessPeer[]): Promise<void> {
  for (const { client, http } of peers) {
    await client.publish('orders', 'ten pears', { ack: 'all' })
    await client.read('orders', { from: 'earliest' })
    await (await fetch(`${http}/v1/topics/nobody/records`)).body?.cancel()
  }
}

/** Our configuration, but for who is scraped and how often. */
async function startPrometheus(directory: string, port: number, peers: readonly ProcessPeer[]): Promise<ChildProcess> {
  const targets = peers.map(({ http }) => new URL(http).host)
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['alerts.yaml'],
    scrape_configs: [{ job_name: 'grapevine', static_configs: [{ targets }] }],
  }
  await cp(`${monitoring}/alerts.yaml`, join(directory, 'alerts.yaml'))
  await writeFile(join(directory, 'prometheus.yaml'), JSON.stringify(config))
  const args = [
    `--config.file=${join(directory, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(directory, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const child = spawn('prometheus', args, { stdio: 'ignore' })
  await eventually('Prometheus answers', async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok)
  return child
}

async function ended(child: ChildProcess): Promise<void> {
  const end = once(child, 'exit')
  child.kill()
  await end
}
