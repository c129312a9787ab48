/** What `GET /metrics` says, strictly read: a line that Prometheus would refuse is an error here. */
export class PrometheusText {
  /** `counter`, `gauge` or `histogram`, by name. */
  readonly types = new Map<string, string>()
  /** Samples by name and labels, as `name{a="1"}`, labels sorted. */
  readonly samples = new Map<string, number>()

  constructor(text: string) {
    if (!text.endsWith('\n')) throw new Error('the last line has no end')
    for (const line of text.split('\n')) this.#take(line)
  }

  /** All samples of a name that have these labels among theirs, added up. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const found = this.#of(name).filter(([key]) => wanted.every((pair) => labelsOf(key).includes(pair)))
    if (found.length === 0) throw new Error(`no sample of ${name} ${wanted.join()}`)
    return found.reduce((sum, [, value]) => sum + value, 0)
  }

  labelValues(name: string, label: string): string[] {
    const values = this.#of(name).flatMap(([key]) => labelsOf(key).filter((pair) => pair.startsWith(`${label}=`)))
    return [...new Set(values.map((pair) => pair.slice(label.length + 2, -1)))]
  }

  #of(name: string): [string, number][] {
    return [...this.samples].filter(([key]) => key === name || key.startsWith(`${name}{`))
  }

  #take(line: string): void {
    if (line === '' || /^# HELP [a-z_]+ \S.*$/.test(line)) return
    const [, typed, type = ''] = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line) ?? []
    if (typed !== undefined) {
      if (this.types.has(typed)) throw new Error(`two types: ${line}`)
      this.types.set(typed, type)
      return
    }
    const [, name = '', labels = '', value = ''] = samplePattern.exec(line) ?? []
    const base = this.types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
    if (!this.types.has(base)) throw new Error(`not understood, or without a type: ${line}`)
    const key = labels === '' ? name : `${name}{${(labels.match(pairPattern) ?? []).toSorted().join()}}`
    if (this.samples.has(key)) throw new Error(`twice: ${line}`)
    this.samples.set(key, value === 'Nan' ? Number.NaN : Number(value))
  }
}

const pair = String.raw`[a-z_]+="(?:[^"\\]|\\.)*"`
const pairPattern = new RegExp(pair, 'g')
const samplePattern = new RegExp(String.raw`^([a-z_]+)(?:\{(${pair}(?:,${pair})*)\})? (\S+)$`)

const labelsOf = (key: string): string[] => key.match(pairPattern) ?? []
