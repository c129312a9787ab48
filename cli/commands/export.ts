import { Command } from 'commander'
import type { Mesh } from '#client/mesh'
import type { CursorMap } from '#client/subscription'
import { MeshError } from '#protocol/errors'
import { connectTo, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { exportedLine } from '../exported-record.ts'
import { counted, jsonLine } from '../output.ts'
import { Progress } from '../progress.ts'
import { startOf } from '../start.ts'
import { say, warn, write } from '../terminal.ts'

const help = `
One record per line, as JSON, byte for byte; then a line {"end": true, "records",
"cursors"}. With --from and the cursor of the last export only what came since.
What is lost or not to be had at this peer is a line {"gap": …}, and exit code 3.

Examples:
  $ grapevine export orders > orders.ndjson
  $ grapevine export orders --from gv1.… >> orders.ndjson
  $ grapevine import --server http://other:8400 < orders.ndjson`

interface ExportOptions extends ClientOptions {
  readonly from: string
}

export function exportCommand(context: Context): Command {
  return withClientOptions(new Command('export'))
    .description('write the records of topics to stdout, for import')
    .argument('<topic...>', 'the topics; * and ** stand for tokens')
    .option(
      '-f, --from <start>',
      'earliest, or the cursor of the last export, of several topics {"topic": "cursor", …}',
      'earliest',
    )
    .addHelpText('after', help)
    .action(async (topics: readonly string[], options: ExportOptions) => {
      const from = startOf(options.from)
      await using mesh = await connectTo(context, options)
      await exportTopics(context, mesh, topics, from)
    })
}

/** Until all is written that the peer holds. */
async function exportTopics(
  context: Context,
  mesh: Mesh,
  topics: readonly string[],
  from: string | CursorMap,
): Promise<void> {
  const { terminal } = context
  const signal = terminal.stop
  const progress = new Progress(terminal)
  const topicIds = new Map<string, string>()
  let records = 0
  let gaps = 0
  for await (const item of mesh.stream(topics, { from, signal })) {
    if (item.type === 'record') {
      const { topic } = item.record
      const topicId = topicIds.get(topic) ?? (await mesh.topic(topic, { signal })).topicId
      topicIds.set(topic, topicId)
      await write(terminal, exportedLine(item.record, topicId))
      progress.show(`${counted(++records, 'record')} exported`)
    } else if (item.type === 'deleted') {
      topicIds.delete(item.topic)
    } else if (item.type === 'gap') {
      gaps++
      await write(terminal, jsonLine({ topic: item.topic, gap: item.gap }))
    } else if (item.type === 'caught-up') {
      progress.end()
      if (Object.keys(item.cursors).length === 0)
        throw new MeshError('TOPIC_NOT_FOUND', `no topic matches ${topics.join(' ')}`)
      await write(terminal, jsonLine({ end: true, records, cursors: item.cursors }))
      if (item.isolated) warn(terminal, 'this peer reaches nobody who keeps the topic: there may be more')
      if (gaps > 0 || item.isolated) context.exitCode = exitCodes.degraded
      break
    }
  }
  say(terminal, `${counted(records, 'record')} exported`)
  if (gaps > 0)
    warn(terminal, `${counted(gaps, 'gap')}: lost, or not to be read at this peer yet; see the lines with "gap"`)
}
