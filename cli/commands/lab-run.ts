import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { MeshError } from '#protocol/errors'
import { backEndNames, type BackEndName, checkPlayable } from '#lab/back-end'
import { isApart } from '#lab/netns/namespaces'
import { lacksForSandbox, spawnApart } from '#lab/netns/sandbox'
import { type LabReport, reportIn } from '#lab/report'
import { reportRow, reportRowTitles, reportText } from '#lab/report-text'
import { timelineSvg } from '#lab/timeline'
import { outputOption, type Context } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { ownCommand } from '../local-peer.ts'
import { formatFor, jsonLine } from '../output.ts'
import { version } from '../peer.ts'
import { say, styled, write } from '../terminal.ts'

const runHelp = `
Starts the peers of the scenario, publishes and reads at all of them while it cuts
and heals, and holds what was accepted against what each of them serves in the end.
The scenario is a file, or the name of one that comes along: two-halves, one-alone,
one-way, bridge, flapping, split-during-join, three-way, longer-than-every-timeout.

  --via peers    lab mode inside the peers: processes on this machine, or with
                 --server a mesh that runs, whose members are called like the peers
  --via netns    a network namespace per peer, packets dropped; root on Linux
  --via docker   containers of docker/compose.yaml, packets dropped; root on Linux

Examples:
  $ grapevine lab run two-halves
  $ grapevine lab run my.yaml --via netns --report run.json --picture run.svg

Exit code 1 if something was not as expected.`

interface RunOptions {
  readonly via: BackEndName
  readonly server?: string
  readonly report?: string
  readonly picture?: string
  readonly output?: 'table' | 'json'
}

/** `grapevine lab run SCENARIO`. */
export const labRunCommand = (context: Context): Command =>
  new Command('run')
    .description('play a scenario of cuts and heals under load, and report')
    .argument('<scenario>', 'a YAML file, or the name of a scenario that comes along')
    .addOption(new Option('--via <back-end>', 'where').choices(backEndNames).default('peers'))
    .option('-s, --server <urls>', 'gateways of a mesh that runs; without, one is started and ends with this')
    .option('--report <file>', 'where the report goes, as JSON')
    .option('--picture <file>', 'where the picture of who saw whom when goes, as SVG')
    .addOption(outputOption())
    .addHelpText('after', runHelp)
    .action(async (file: string, options: RunOptions) => {
      // Not at the top: other commands start without YAML and the ledger.
      const [{ parseScenario }, { runScenario }, { backEndFor }] = await Promise.all([
        import('#lab/scenario'),
        import('#lab/run'),
        import('../lab-mesh.ts'),
      ])
      const scenario = parseScenario(await textOf(pathOf(file), 'SCENARIO_INVALID'))
      checkPlayable(scenario, options.via)
      if (options.via === 'netns' && !isApart) return await runApart(context, file, options)
      const { terminal } = context
      const server = options.server?.split(',')
      say(terminal, `${scenario.name}: ${scenario.about}`)
      await using backEnd = await backEndFor(context, scenario, { via: options.via, ...(server && { server }) })
      const talk = (line: string): void => say(terminal, styled(terminal.stderr, 'dim', line))
      const config = { via: options.via, version, say: talk, signal: terminal.stop }
      const report = await runScenario(scenario, backEnd, config)
      if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(report, undefined, 1)}\n`)
      if (options.picture !== undefined) await writeFile(options.picture, timelineSvg(report))
      const isTable = formatFor(terminal.stdout, options.output) === 'table'
      await write(terminal, isTable ? reportText(report) : jsonLine(report))
      if (report.failed.length > 0) context.exitCode = exitCodes.failed
    })

/** The same command in a network of its own, where interfaces may be made and packets dropped. */
async function runApart(
  context: Context,
  file: string,
  { server, report, picture, output }: RunOptions,
): Promise<void> {
  if (server !== undefined)
    throw new MeshError('LAB_UNSUPPORTED', '--via netns starts a mesh of its own: leave out --server')
  const lack = lacksForSandbox()
  if (lack !== undefined) throw new MeshError('LAB_UNSUPPORTED', `--via netns needs ${lack}`)
  const more = Object.entries({ '--report': report, '--picture': picture, '--output': output })
  const options = more.flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]))
  // What is killed there deletes nothing.
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-lab-'))
  process.env['TMPDIR'] = directory
  const child = spawnApart([...ownCommand(), 'lab', 'run', file, '--via', 'netns', ...options])
  const [code] = (await once(child, 'exit')) as [number | null]
  await rm(directory, { recursive: true, force: true })
  const known = Object.values(exitCodes).find((one) => one === code)
  context.exitCode = known ?? exitCodes.interrupted
}

interface ReportOptions {
  readonly picture?: string
  readonly output?: 'table' | 'json' | 'markdown'
}

/** `grapevine lab report FILE…`. */
export const labReportCommand = (context: Context): Command =>
  new Command('report')
    .description('show reports of lab run again')
    .argument('<files...>', 'what lab run --report has written')
    .option('--picture <file>', 'where the picture of who saw whom when goes, as SVG; of one report')
    .addOption(outputOption(['markdown']))
    .addHelpText('after', '\nExample:\n  $ grapevine lab report run.json --picture run.svg')
    .action(async (files: readonly string[], options: ReportOptions) => {
      const { terminal } = context
      const reports = await Promise.all(files.map(reportAt))
      const [first, ...others] = reports
      if (options.picture !== undefined && first !== undefined) {
        if (others.length > 0) throw new MeshError('USAGE', 'A picture is of one report')
        await writeFile(options.picture, timelineSvg(first))
      }
      if (options.output === 'markdown')
        return await write(terminal, `${[reportRowTitles, ...reports.map(reportRow)].join('\n')}\n`)
      const isTable = formatFor(terminal.stdout, options.output) === 'table'
      await write(terminal, reports.map((report) => (isTable ? reportText(report) : jsonLine(report))).join('\n'))
    })

async function reportAt(file: string): Promise<LabReport> {
  const report = reportIn(await textOf(file, 'USAGE'))
  if (report !== undefined) return report
  throw new MeshError('USAGE', `${file} is no report of lab run, or one of another version`)
}

async function textOf(file: string, code: 'SCENARIO_INVALID' | 'USAGE'): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new MeshError(code, `${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  })
}

/** A file wins over a scenario of that name that comes along. */
function pathOf(file: string): string {
  if (!/^[a-z0-9-]+$/.test(file) || existsSync(file)) return file
  return fileURLToPath(new URL(`../../lab/scenarios/${file}.yaml`, import.meta.url))
}
