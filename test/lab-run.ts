import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Ran, run } from '#lab/programs'
import type { LabReport } from '#lab/report'

const cli = fileURLToPath(new URL('../cli/grapevine.js', import.meta.url))

/** A directory for what `grapevine lab run` reads and writes, which goes with it. */
export class LabRuns implements AsyncDisposable {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(): Promise<LabRuns> {
    return new LabRuns(await mkdtemp(join(tmpdir(), 'grapevine-lab-run-')))
  }

  /** Plays a scenario by the command that people use. `report`: undefined if it made none. */
  async run(
    scenario: string,
    ...options: readonly string[]
  ): Promise<Ran & { readonly report: LabReport | undefined }> {
    const [file, report] = [join(this.directory, 'scenario.yaml'), join(this.directory, 'report.json')]
    await writeFile(file, scenario)
    const ran = await run([process.execPath, cli, 'lab', 'run', file, '--report', report, '-o', 'table', ...options])
    const text = await readFile(report, 'utf8').catch(() => undefined)
    return { ...ran, report: text === undefined ? undefined : (JSON.parse(text) as LabReport) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}
