import { Command } from 'commander'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { writeRows } from '../output.ts'

const help = `
orders.** is orders.eu and orders.eu.today, but not orders itself.

Examples:
  $ grapevine topics
  $ grapevine topics '*'
  $ grapevine topics 'bills.**' -o json`

export function topicsCommand(context: Context): Command {
  return withClientOptions(new Command('topics'))
    .description('list the topics that a peer knows')
    .argument('[pattern]', '* is one token, a last ** the rest: orders.*, bills.**')
    .addHelpText('after', help)
    .action(async (pattern: string | undefined, options: ClientOptions) => {
      await using mesh = await connectTo(context, options.server)
      const signal = context.terminal.stop
      const topics = await mesh.topics(pattern === undefined ? { signal } : { signal, match: pattern })
      await writeRows(context.terminal, formatOf(context, options), topics, [
        { title: 'topic', of: (topic) => topic.topic, style: () => 'bold' },
        { title: 'records', of: (topic) => topic.records },
        { title: 'feeds', of: (topic) => topic.feeds },
      ])
    })
}
