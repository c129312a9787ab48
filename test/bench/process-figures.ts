import { readFile, writeFile } from 'node:fs/promises'
import type { ProcessPeer } from '../integration/process-peer.ts'
import { PrometheusText } from '../prometheus-text.ts'

/** Processor time of the process, all its threads together; in steps of 10 ms. */
export async function cpuMsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** Resident memory now, and the most that it ever was, in bytes. */
export async function memoryOf(pid: number): Promise<{ readonly now: number; readonly peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kilobytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1])
  return { now: kilobytes('VmRSS') * 1_024, peak: kilobytes('VmHWM') * 1_024 }
}

/** From now on the peak of this process is counted anew. */
export const resetPeak = (pid: number): Promise<void> => writeFile(`/proc/${pid}/clear_refs`, '5')

/** What the process has had written to disk, journals of the file system aside. */
export async function writtenBytesOf(pid: number): Promise<number> {
  return Number(/^write_bytes: (\d+)/m.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1])
}

/** Everything sent over the loopback interface, TCP headers included. */
export async function loopbackBytes(): Promise<number> {
  const line = (await readFile('/proc/net/dev', 'utf8')).split('\n').find((text) => text.trim().startsWith('lo:'))
  return Number(line?.trim().split(/\s+/)[1])
}

export async function metricsOf(peer: ProcessPeer): Promise<PrometheusText> {
  const answer = await fetch(`${peer.http}/metrics`)
  return new PrometheusText(await answer.text())
}

/** The bound of the bucket below which a share of what was observed between two scrapes lies, in seconds. */
export function bucketQuantile(before: PrometheusText, after: PrometheusText, name: string, share: number): number {
  const bounds = after.labelValues(`${name}_bucket`, 'le').toSorted((a, b) => boundOf(a) - boundOf(b))
  const countIn = (le: string): number => after.sum(`${name}_bucket`, { le }) - before.sum(`${name}_bucket`, { le })
  const total = countIn('+Inf')
  return boundOf(bounds.find((le) => countIn(le) >= share * total) ?? '+Inf')
}

const boundOf = (le: string): number => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le))
